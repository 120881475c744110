"""Verdicts, and what they are made from: policies, waivers, statements and reports of other scanners."""
