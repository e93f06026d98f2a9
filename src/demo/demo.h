/*
 * The main job at work, on this machine alone: an agent of its own that receives spans, traffic with two
 * planted anomalies, and a webhook that prints what it is told. While it runs, a detector is dropped into the
 * scripts folder. Everything is in a temporary folder, which is removed at the end.
 */
#ifndef SW_DEMO_DEMO_H
#define SW_DEMO_DEMO_H

#include <stdint.h>

typedef struct sw_demo_options {
    const char *program; /* spanwatch itself */
    const char *worker;
    const char *scripts_dir; /* detect.lua and lib are copied from it */
    int64_t seconds;         /* 0: until SIGINT or SIGTERM */
} sw_demo_options;

/* Runs to its end. 0 when every planted anomaly was alerted and nothing else, or when it was interrupted; 1
 * otherwise, after saying why. */
int sw_demo_run(const sw_demo_options *options);

#endif
