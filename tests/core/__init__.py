"""The harness's core, module by module."""
