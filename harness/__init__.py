"""The library that everything else stands on; imports none of its siblings."""
