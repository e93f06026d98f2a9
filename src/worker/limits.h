/*
 * The soft limits of a call: how much memory the Lua state may hold and how much CPU time a call may take.
 *
 * Memory: sw_limits_alloc() is the state's allocator. A refusal is an ordinary Lua memory error; where it
 * happened is remembered, because Lua's message does not say.
 *
 * CPU: a timer on the process' CPU clock whose signal sets a hook on the coroutine that runs right now.
 * Running code pays nothing until then. From then on every instruction raises again, in every coroutine,
 * until the call is over: `pcall`, error handlers, `__close` and iterators can neither swallow nor outlive
 * it. For this the coroutine library tells who runs (sw_limits_enter), and what catches errors in C (our
 * pcall, xpcall, resume, close) asks sw_limits_check() first. What the hook cannot reach is left to the
 * host's kill: C functions that do not return (a catastrophic pattern, string.rep("", huge), table.move of a
 * huge range) and finalizers, which Lua runs with hooks off.
 */
#ifndef SW_WORKER_LIMITS_H
#define SW_WORKER_LIMITS_H

#include <lua.h>
#include <signal.h>
#include <time.h>

#include "base/base.h"

#define SW_LIMITS_TEXT 4096

typedef struct sw_limits {
    size_t memory_cap;
    size_t memory_used;
    size_t memory_peak;     /* since the call began */
    char memory_where[160]; /* "file:line: " of the last refusal, or "" */
    int64_t cpu_ms;
    timer_t timer;
    bool has_timer;
    volatile sig_atomic_t armed;
    volatile sig_atomic_t expired;
    lua_State *volatile running; /* the coroutine that runs now; NULL outside a call */
    bool described;              /* message and traceback are those of the first hit */
    char message[512];
    char traceback[SW_LIMITS_TEXT];
    int64_t started_ns; /* CPU clock */
    unsigned closing;   /* coroutine.close calls inside each other */
} sw_limits;

/* Installs the signal handler and the timer; before the sandbox closes. One per process. -1 when the kernel
 * has no such timer: then only the host's deadline ends a loop. */
int sw_limits_init(sw_limits *limits);
void sw_limits_set(sw_limits *limits, size_t memory_bytes, int64_t cpu_ms);

void *sw_limits_alloc(void *limits, void *ptr, size_t old_size, size_t new_size);

/* Around each entry into Lua. */
void sw_limits_begin(sw_limits *limits, lua_State *main);
void sw_limits_end(sw_limits *limits, lua_State *main);
int64_t sw_limits_cpu_us(const sw_limits *limits); /* of this call so far */

/* Tells which coroutine runs from now on; gives the one that ran. */
lua_State *sw_limits_enter(sw_limits *limits, lua_State *co);
bool sw_limits_expired(const sw_limits *limits);
/* What to say of the hit, with file and line where Lua code ran when it came. */
const char *sw_limits_message(sw_limits *limits);
/* Raises in L when the limit was hit. */
void sw_limits_check(sw_limits *limits, lua_State *L);
/* Ends the call as if the limit was hit, for another reason (the host is gone). Does not return. */
void sw_limits_stop(sw_limits *limits, lua_State *L, const char *reason);

#endif
