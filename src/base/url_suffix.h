/*
 * What a format adds to the URL of its receiver: a path, and a query. It comes from a script, so it must not
 * lead to another host, nor out of the path that the receiver's URL has.
 */
#ifndef SW_BASE_URL_SUFFIX_H
#define SW_BASE_URL_SUFFIX_H

#include "base/base.h"

#define SW_URL_SUFFIX_MAX 2048 /* bytes */

/* NULL when it is "/PATH" or "/PATH?QUERY" in the characters of RFC 3986, without "." and ".." as a part of
 * the path (percent-encoded or not), and without //; else static text that says what is wrong. */
const char *sw_url_suffix_check(const char *suffix, size_t len);
/* The URL with the suffix at the end of its path, and both queries, without its fragment. Caller frees. */
char *sw_url_with_suffix(const char *url, const char *suffix);

#endif
