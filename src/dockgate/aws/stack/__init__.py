"""Deploying the gate into an account: its template, the functions' archive, deployment and removal."""
