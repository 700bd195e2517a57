# SPDX-License-Identifier: Apache-2.0
"""How much of a test is run.

THAW_TEST_FULL=1 runs the counts that the project is judged by; without it the usual counts keep the whole
suite within minutes on two cores. THAW_TEST_SCALE multiplies either (slow machines, sanitizer builds).
"""
import os

FULL = os.environ.get("THAW_TEST_FULL") == "1"
SCALE = float(os.environ.get("THAW_TEST_SCALE", "1.0"))
# Sanitizers and emulators multiply memory and time: bounds on either are for real builds only.
SLOW_BUILD = os.environ.get("THAW_TEST_SANITIZED") == "1"


def count(full, usual, least=1):
    """FULL of something when the judged counts are asked for, else USUAL; scaled, never below LEAST."""
    return max(least, round((full if FULL else usual) * SCALE))


def patience(seconds):
    """A generous time limit: no test's verdict may hang on a machine being slow."""
    return seconds * (6 if SLOW_BUILD else 3)
