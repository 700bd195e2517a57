# SPDX-License-Identifier: Apache-2.0
"""The ground of the black-box tests: a private thawd, the wire, /proc, counts that scale."""
