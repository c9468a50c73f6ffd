"""The pytest plugin: recorded goldens, and policies that are files of tests."""
