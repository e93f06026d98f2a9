#include "worker/limits.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After the limit was hit the signal comes again and again: a coroutine that began in between gets its hook.
 */
#define REPEAT_NS 1000000

/* What the signal handler looks at. */
static sw_limits *volatile limits_of_process;

/* The thread's clock, of which there is one: while a timer is set on the process' clock, the kernel brings
 * that one up to date only at its ticks. */
static int64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * SW_NS_PER_S + now.tv_nsec;
}

/* "file:line: " of the innermost Lua function of L; "" when there is none. Allocates nothing. */
static void describe_place(lua_State *L, char *out, size_t size) {
    lua_Debug ar;
    out[0] = '\0';
    for (int level = 0; level < 16 && lua_getstack(L, level, &ar) == 1; level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0) {
            snprintf(out, size, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
}

void *sw_limits_alloc(void *ud, void *ptr, size_t old_size, size_t new_size) {
    sw_limits *limits = ud;
    if (ptr == NULL) {
        old_size = 0; /* Lua passes a type tag */
    }
    if (new_size == 0) {
        free(ptr);
        limits->memory_used -= old_size;
        return NULL;
    }
    void *fresh = NULL;
    if (new_size <= old_size || new_size - old_size <= limits->memory_cap - limits->memory_used) {
        fresh = realloc(ptr, new_size);
        if (fresh == NULL && new_size <= old_size) {
            fresh = ptr; /* Lua relies on shrinking */
        }
    }
    if (fresh == NULL) {
        if (limits->running != NULL) {
            describe_place(limits->running, limits->memory_where, sizeof(limits->memory_where));
        }
        return NULL;
    }
    limits->memory_used = limits->memory_used - old_size + new_size;
    if (limits->memory_used > limits->memory_peak) {
        limits->memory_peak = limits->memory_used;
    }
    return fresh;
}

static void write_message(sw_limits *limits, const char *place) {
    limits->described = true;
    snprintf(limits->message, sizeof(limits->message), "%sthe call took more than %lld ms of CPU time", place,
             (long long)limits->cpu_ms);
}

const char *sw_limits_message(sw_limits *limits) {
    if (!limits->described) {
        write_message(limits, ""); /* no Lua code ran after the limit was hit */
    }
    return limits->message;
}

/* The first hit says where; later ones repeat it. */
static void describe_hit(sw_limits *limits, lua_State *L) {
    if (limits->described) {
        return;
    }
    char place[160];
    describe_place(L, place, sizeof(place));
    write_message(limits, place);
    luaL_traceback(L, L, NULL, 0);
    snprintf(limits->traceback, sizeof(limits->traceback), "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
}

static void raise_hit(sw_limits *limits, lua_State *L) {
    describe_hit(limits, L);
    lua_pushstring(L, limits->message);
    lua_error(L);
}

static void stop_hook(lua_State *L, lua_Debug *ar) {
    (void)ar;
    sw_limits *limits = limits_of_process;
    if (limits->expired) {
        raise_hit(limits, L);
    }
    lua_sethook(L, NULL, 0, 0); /* left over from an earlier call */
}

static void set_hook(lua_State *L) {
    lua_sethook(L, stop_hook, LUA_MASKCALL | LUA_MASKCOUNT, 1);
}

static void on_timer(int signal_number) {
    (void)signal_number;
    sw_limits *limits = limits_of_process;
    if (limits == NULL || !limits->armed) {
        return;
    }
    limits->expired = 1;
    if (limits->running != NULL) {
        set_hook(limits->running);
    }
}

int sw_limits_init(sw_limits *limits) {
    limits_of_process = limits;
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
    if (sigaction(SIGPROF, &action, NULL) != 0 ||
        timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &limits->timer) != 0) {
        return -1;
    }
    limits->has_timer = true;
    return 0;
}

void sw_limits_set(sw_limits *limits, size_t memory_bytes, int64_t cpu_ms) {
    limits->memory_cap = memory_bytes;
    limits->cpu_ms = cpu_ms;
}

static void set_timer(sw_limits *limits, int64_t ms) {
    struct itimerspec when = {0};
    if (ms > 0) {
        when.it_value.tv_sec = (time_t)(ms / 1000);
        when.it_value.tv_nsec = (long)(ms % 1000 * SW_NS_PER_MS);
        when.it_interval.tv_nsec = REPEAT_NS;
    }
    if (limits->has_timer) {
        timer_settime(limits->timer, 0, &when, NULL);
    }
}

void sw_limits_begin(sw_limits *limits, lua_State *main) {
    limits->memory_peak = limits->memory_used;
    limits->memory_where[0] = '\0';
    limits->message[0] = limits->traceback[0] = '\0';
    limits->described = false;
    limits->closing = 0;
    limits->expired = 0;
    limits->started_ns = cpu_ns();
    limits->running = main;
    limits->armed = 1;
    set_timer(limits, limits->cpu_ms);
}

void sw_limits_end(sw_limits *limits, lua_State *main) {
    limits->armed = 0;
    set_timer(limits, 0);
    limits->running = NULL;
    lua_sethook(main, NULL, 0, 0);
}

int64_t sw_limits_cpu_us(const sw_limits *limits) {
    return (cpu_ns() - limits->started_ns) / 1000;
}

lua_State *sw_limits_enter(sw_limits *limits, lua_State *co) {
    lua_State *before = limits->running;
    limits->running = co;
    return before;
}

bool sw_limits_expired(const sw_limits *limits) {
    return limits->expired != 0;
}

void sw_limits_check(sw_limits *limits, lua_State *L) {
    if (limits->expired) {
        raise_hit(limits, L);
    }
}

void sw_limits_stop(sw_limits *limits, lua_State *L, const char *reason) {
    if (!limits->described) {
        limits->described = true;
        snprintf(limits->message, sizeof(limits->message), "%s", reason);
    }
    limits->expired = 1;
    set_hook(L);
    raise_hit(limits, L);
}
