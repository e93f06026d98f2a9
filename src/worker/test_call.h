/* The call TEST. */
#ifndef SW_WORKER_TEST_CALL_H
#define SW_WORKER_TEST_CALL_H

#include "worker/internal.h"

/* After sw_call_test(): runs each test under limits of its own and packs the reply. 0, or -1 as
 * sw_protected(). */
int sw_run_tests(sw_worker *worker);

#endif
