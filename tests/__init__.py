"""The harness's own tests: does the harness work?"""
