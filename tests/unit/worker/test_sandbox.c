/* What a process can still do after it gave up its rights. Each question is put to a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker/sandbox.h"

#define UNAVAILABLE 77

/* Each gives the exit status, if it comes to that. */
static int opens_a_file(void) {
    return open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM ? 0 : 1;
}

static int makes_a_socket(void) {
    return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 0 : 1;
}

static int forks(void) {
    return fork() < 0 ? 0 : 1;
}

static int executes(void) {
    execl("/bin/true", "true", (char *)NULL);
    return 1;
}

static int maps_code(void) {
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 0 : 1;
}

static int kills_its_parent(void) {
    return kill(getppid(), 0);
}

static int traces_itself(void) {
    return prctl(PR_SET_DUMPABLE, 1) != 0 ? 0 : 1;
}

static int raises_its_files(void) {
    struct rlimit limits = {.rlim_cur = 100, .rlim_max = 100};
    return setrlimit(RLIMIT_NOFILE, &limits) != 0 ? 0 : 1;
}

static int works_as_a_worker_does(void) {
    void *large = malloc(64 << 20);
    if (large == NULL) {
        return 1;
    }
    memset(large, 1, 64 << 20);
    large = realloc(large, 1 << 20);
    free(large);
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    time_t seconds = 86400;
    struct tm date;
    localtime_r(&seconds, &date);
    return date.tm_mday == 2 && date.tm_hour == 0 && getenv("HOME") == NULL ? 0 : 2;
}

static int takes_more_memory_than_its_limit(void) {
    sw_sandbox_limit_memory(8 << 20);
    return malloc((size_t)1 << 30) == NULL ? 0 : 1;
}

static int aborts(void) {
    abort();
}

/* Exit status of a process that enters the sandbox and does this, or -signal. */
static int in_sandbox(int (*what)(void)) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        sw_buf warnings;
        sw_buf_init(&warnings, 4096);
        sw_sandbox_enter(3, &warnings);
        bool available = warnings.len == 0;
        sw_buf_release(&warnings);
        _exit(available ? what() : UNAVAILABLE);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void a_sandboxed_process_reaches_nothing_outside(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int (*what)(void);
        int status;
    } cases[] = {
        {"works", works_as_a_worker_does, 0},
        {"limits", takes_more_memory_than_its_limit, 0},
        {"open", opens_a_file, 0},
        {"socket", makes_a_socket, -SIGSYS},
        {"fork", forks, -SIGSYS},
        {"exec", executes, -SIGSYS},
        {"code", maps_code, -SIGSYS},
        {"kill", kills_its_parent, -SIGSYS},
        {"dumpable", traces_itself, -SIGSYS},
        {"rlimit", raises_its_files, -SIGSYS},
        {"abort", aborts, -SIGABRT},
    };
    if (!sw_sandbox_is_whole()) {
        skip(); /* a sanitizer needs what the sandbox takes */
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = in_sandbox(cases[i].what);
        if (status == UNAVAILABLE) {
            skip(); /* this kernel has no seccomp: a warning, not a failure */
        }
        if (status != cases[i].status) {
            fail_msg("%s: %d, want %d", cases[i].name, status, cases[i].status);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sandboxed_process_reaches_nothing_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
