/*
 * A night with ten thousand alerts leaves the heap full of holes that are never used again. They are given
 * back to the system when everything is delivered: on the pool, since it takes a while, and only when there
 * is something to be had.
 */
#include "agent/agent_internal.h"

#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#define WORTH_BYTES (INT64_C(8) << 20) /* grown by so much since the last time */

int64_t sw_memory_resident(void) {
    long pages = 0, ignored = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%ld %ld", &ignored, &pages) != 2) {
            pages = 0;
        }
        fclose(file);
    }
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static void trim(uv_work_t *work) {
    (void)work;
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static void trimmed(uv_work_t *work, int status) {
    (void)status;
    sw_agent *agent = work->data;
    agent->trimming = false;
    agent->resident_after_trim = sw_memory_resident();
}

void sw_memory_give_back(sw_agent *agent) {
    if (agent->trimming || sw_receivers_depth(agent) > 0) {
        return;
    }
    int64_t resident = sw_memory_resident();
    if (resident < agent->resident_after_trim || agent->resident_after_trim == 0) {
        agent->resident_after_trim = resident; /* of the first tick */
    } else if (resident - agent->resident_after_trim > WORTH_BYTES) {
        agent->trimming = true;
        agent->trim_work.data = agent;
        uv_queue_work(&agent->loop, &agent->trim_work, trim, trimmed);
    }
}
