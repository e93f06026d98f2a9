/* An expression as people write it for RE2, as one for regcomp(3). src/alerts only. */
#ifndef SW_ALERTS_MATCHER_REGEX_H
#define SW_ALERTS_MATCHER_REGEX_H

#include <regex.h>

#include "base/buf.h"

/* Compiled so that it matches whole texts; to be given to regfree() and free(). NULL with *why (caller
 * frees). */
regex_t *sw_matcher_regex(const char *text, char **why);

#endif
