"""Verdicts on one image: `cases.py` collects what a verdict is made from, `verdicts.py` judges."""
