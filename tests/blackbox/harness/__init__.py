# SPDX-License-Identifier: Apache-2.0
"""What the black-box tests stand on: a private thawd, the wire, /proc, counts that scale."""
