# SPDX-License-Identifier: Apache-2.0
"""How much of a test runs.

THAW_TEST_FULL=1 runs the full counts; without it the usual counts keep the whole suite within minutes on two
cores. THAW_TEST_SCALE multiplies either (slow machines, sanitizer builds).
"""
import os

FULL = os.environ.get("THAW_TEST_FULL") == "1"
SCALE = float(os.environ.get("THAW_TEST_SCALE", "1.0"))
# Sanitizers and emulators multiply memory and time, so bounds on either hold for real builds only.
SLOW_BUILD = os.environ.get("THAW_TEST_SANITIZED") == "1"


def count(full, usual, least=1):
    """FULL with the full counts, else USUAL; scaled, and never below LEAST."""
    return max(least, round((full if FULL else usual) * SCALE))


def patience(seconds):
    """A generous time limit: a slow machine must not fail a test."""
    return seconds * (6 if SLOW_BUILD else 3)
