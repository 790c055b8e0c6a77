"""What runs in the load process, under gevent: arrivals begun in time, sent, and led together."""
