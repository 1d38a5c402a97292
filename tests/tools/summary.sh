#!/usr/bin/env bash
# Adds up the results of a cargo test log: one line per failure, one for the whole.
set -euo pipefail

awk '
    /^test result:/ { passed += $4; failed += $6; skipped += $8 }
    /^test .* \.\.\. FAILED$/ { print "failed: " $2 }
    /^error: could not compile/ { print; failed++ }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }
' "$1"
