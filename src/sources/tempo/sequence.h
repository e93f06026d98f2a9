/* What a poll asks for, and what its answers come to. */
#ifndef SW_SOURCES_TEMPO_SEQUENCE_H
#define SW_SOURCES_TEMPO_SEQUENCE_H

#include "sources/tempo/jobs.h"

/* Plans by the server's clock: horizon, stretches of counts and of traces, and the jobs that ask for them. */
void tempo_plan(sw_tempo *tempo);
/* After the last answer: moves on what is known. */
void tempo_conclude(sw_tempo *tempo);

#endif
