# For scripts that run several steps: each is quiet when it succeeds and shown whole when it fails; the rest goes on, and
# the end says what happened. Source it, call `step` for each, end with `summary`.

logs=${LOGS:-build/test-logs}
rm -rf "$logs"
mkdir -p "$logs"
steps_passed=0
steps_failed=0
tests_passed=0
tests_failed=0
failed_names=

say() {
    printf '%s\n' "$*"
}

# How many tests the log of a step speaks of, as "PASSED FAILED": those of cmocka, `spanwatch test` and pytest.
count_tests() {
    awk '
        /^\[  PASSED  \] [0-9]+ test/ { passed += $4 }
        /^\[  FAILED  \] [0-9]+ test/ { failed += $4 }
        /^# [0-9]+ passed, [0-9]+ failed$/ { passed += $2; failed += $4 }
        /^(=+ )?[0-9]+ (passed|failed|error|skipped).* in [0-9.]+s/ {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^(failed|error)/) failed += $(i - 1)
            }
        }
        END { print passed + 0, failed + 0 }' "$1"
}

# step NAME COMMAND...
step() {
    name=$1
    shift
    log=$logs/$(printf '%s' "$name" | tr -c 'a-z0-9' '-').log
    began=$(date +%s)
    "$@" >"$log" 2>&1
    rc=$?
    took=$(($(date +%s) - began))
    counts=$(count_tests "$log")
    passed=${counts% *}
    failed=${counts#* }
    tests_passed=$((tests_passed + passed))
    tests_failed=$((tests_failed + failed))
    told=
    [ "$passed$failed" = 00 ] || told=" $passed passed, $failed failed"
    # A step without tests of its own (a build, a check) counts as one.
    if [ "$rc" = 0 ] && [ "$passed$failed" = 00 ]; then
        tests_passed=$((tests_passed + 1))
    elif [ "$rc" != 0 ] && [ "$failed" = 0 ]; then
        tests_failed=$((tests_failed + 1))
    fi
    if [ "$rc" = 0 ]; then
        steps_passed=$((steps_passed + 1))
        printf 'ok    %-36s %4d s %s\n' "$name" "$took" "$told"
    else
        steps_failed=$((steps_failed + 1))
        failed_names="$failed_names
  $name: $log"
        printf 'FAIL  %-36s %4d s %s (exit code %d)\n' "$name" "$took" "$told" "$rc"
        sed 's/^/    | /' "$log"
    fi
    return "$rc"
}

# skip NAME REASON
skip() {
    printf 'skip  %-36s        %s\n' "$1" "$2"
}

summary() {
    if [ "$steps_failed" -gt 0 ]; then
        say "Failed:$failed_names"
    fi
    say "$steps_passed of $((steps_passed + steps_failed)) steps succeeded: $tests_passed passed, $tests_failed failed"
    [ "$steps_failed" = 0 ]
}
