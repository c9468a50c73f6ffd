"""Estimates, tests and power, as functions of counts; nothing here knows of adapters."""
