#include "worker/sandbox.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Beyond the state: the largest frame and what reads it, the reply, lua-cjson's buffers, the libraries' own.
 */
#define BEYOND_STATE ((size_t)192 << 20)

/* A sanitizer needs files, threads and terabytes of address space. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static size_t mapped_at_start;

static void warn(sw_buf *warnings, const char *what, int error) {
    sw_buf_printf(warnings, "%s: %s\n", what, strerror(error));
}

static void limit(int resource, rlim_t value, const char *name, sw_buf *warnings) {
    struct rlimit limits = {.rlim_cur = value, .rlim_max = value};
    if (setrlimit(resource, &limits) != 0) {
        warn(warnings, name, errno);
    }
}

/* How much address space is mapped now. */
static size_t mapped_bytes(void) {
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%zu", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return pages > 0 ? pages * (size_t)sysconf(_SC_PAGESIZE) : (size_t)64 << 20;
}

/* Calls that are always right: memory without code, time, leaving. */
static const int allowed[] = {
    SCMP_SYS(brk),           SCMP_SYS(munmap),          SCMP_SYS(mremap),       SCMP_SYS(madvise),
    SCMP_SYS(exit),          SCMP_SYS(exit_group),      SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sigreturn),     SCMP_SYS(futex),           SCMP_SYS(getrandom),    SCMP_SYS(restart_syscall),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64), SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(timer_settime), SCMP_SYS(timer_settime64), SCMP_SYS(poll),         SCMP_SYS(ppoll),
    SCMP_SYS(getpid),        SCMP_SYS(gettid),
};

/* Look-ups that libraries make when they can: they fail, and nothing is lost. */
static const int refused[] = {
    SCMP_SYS(open),     SCMP_SYS(openat),     SCMP_SYS(access),     SCMP_SYS(faccessat),   SCMP_SYS(stat),
    SCMP_SYS(lstat),    SCMP_SYS(fstat),      SCMP_SYS(newfstatat), SCMP_SYS(fstatat64),   SCMP_SYS(statx),
    SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(ioctl),      SCMP_SYS(fcntl),       SCMP_SYS(lseek),
    SCMP_SYS(uname),    SCMP_SYS(sysinfo),    SCMP_SYS(getcwd),     SCMP_SYS(sched_yield),
};

static int add_plain(scmp_filter_ctx filter) {
    int failed = 0;
    for (size_t i = 0; i < SW_ARRAY_LEN(allowed); i++) {
        failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(refused); i++) {
        failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    }
    return failed;
}

/* Calls that are right with these arguments only. */
static int add_conditional(scmp_filter_ctx filter, int fd) {
    const struct scmp_arg_cmp on_socket = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)fd};
    const struct scmp_arg_cmp on_stderr = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = STDERR_FILENO};
    const struct scmp_arg_cmp to_itself = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()};
    const struct scmp_arg_cmp no_code = {
        .arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0};
    const struct scmp_arg_cmp no_file = {
        .arg = 3, .op = SCMP_CMP_MASKED_EQ, .datum_a = MAP_ANONYMOUS, .datum_b = MAP_ANONYMOUS};
    const struct scmp_arg_cmp of_itself = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = 0};
    const struct scmp_arg_cmp memory = {.arg = 1, .op = SCMP_CMP_EQ, .datum_a = RLIMIT_AS};
    const struct {
        int call;
        unsigned n;
        struct scmp_arg_cmp args[2];
    } rules[] = {
        {SCMP_SYS(recvfrom), 1, {on_socket}},
        {SCMP_SYS(sendto), 1, {on_socket}},
        {SCMP_SYS(close), 1, {on_socket}},
        /* What abort() prints and does. */
        {SCMP_SYS(write), 1, {on_stderr}},
        {SCMP_SYS(writev), 1, {on_stderr}},
        {SCMP_SYS(tgkill), 1, {to_itself}},
        {SCMP_SYS(mmap), 2, {no_code, no_file}},
        {SCMP_SYS(mprotect), 1, {no_code}},
        /* The address space is bounded when the first call says by how much. */
        {SCMP_SYS(prlimit64), 2, {of_itself, memory}},
    };
    int failed = 0;
    for (size_t i = 0; i < SW_ARRAY_LEN(rules); i++) {
        failed |= seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].n, rules[i].args);
    }
    return failed;
}

static void filter_calls(int fd, sw_buf *warnings) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (filter == NULL) {
        sw_buf_append_str(warnings, "seccomp is not available: out of memory\n");
        return;
    }
    if (add_plain(filter) != 0 || add_conditional(filter, fd) != 0) {
        sw_buf_append_str(warnings, "seccomp: this architecture lacks a rule\n");
    }
    int failed = seccomp_load(filter);
    if (failed != 0) {
        warn(warnings, "seccomp is not available", -failed);
    }
    seccomp_release(filter);
}

void sw_sandbox_enter(int fd, sw_buf *warnings) {
    /* The environment may be anything; os.date speaks UTC and asks for no time zone file. */
    clearenv();
    setenv("TZ", "UTC0", 1);
    tzset();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        warn(warnings, "no_new_privs", errno);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range((unsigned)fd + 1, ~0U, 0);
    limit(RLIMIT_CORE, 0, "RLIMIT_CORE", warnings);
    if (SANITIZED) {
        return;
    }
    mapped_at_start = mapped_bytes();
    prctl(PR_SET_DUMPABLE, 0);
    limit(RLIMIT_NPROC, 0, "RLIMIT_NPROC", warnings);
    limit(RLIMIT_FSIZE, 0, "RLIMIT_FSIZE", warnings);
    limit(RLIMIT_NOFILE, (rlim_t)fd + 1, "RLIMIT_NOFILE", warnings); /* poll() needs it to be more than 0 */
    filter_calls(fd, warnings);
}

void sw_sandbox_limit_memory(size_t state_bytes) {
    if (SANITIZED) {
        return;
    }
    rlim_t most = mapped_at_start + state_bytes + state_bytes / 4 + BEYOND_STATE;
    struct rlimit limits = {.rlim_cur = most, .rlim_max = most};
    setrlimit(RLIMIT_AS, &limits);
}

bool sw_sandbox_is_whole(void) {
    return !SANITIZED;
}
