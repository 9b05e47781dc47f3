# Copyright 2026 The lingshu_jax authors
# SPDX-License-Identifier: Apache-2.0
"""The one exception that means: the user can mend this."""


class UserError(ValueError):
    """Bad input, said in one line that names the value and what is allowed.

    Entry points print the line without a stack trace and exit with code 2
    (`common.cli.run`); everything else is a fault of ours and keeps its trace.
    """
