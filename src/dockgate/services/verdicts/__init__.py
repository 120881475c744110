"""Verdicts on one image: `case_builder.py` collects what a verdict is made from, `verdicts.py` judges."""
