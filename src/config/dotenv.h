/*
 * `.env` files: one NAME=value per line.
 *
 *   # a comment, and blank lines
 *   NAME=value with blanks        # a comment after a blank
 *   export NAME='as it is, $ and \ too'
 *   NAME="with \n, \t, \", \\ and \$"
 *
 * A value ends with its line. Nothing is expanded. The last of two lines with one name wins.
 */
#ifndef SW_CONFIG_DOTENV_H
#define SW_CONFIG_DOTENV_H

#include "base/base.h"

typedef struct sw_dotenv_handler {
    void (*entry)(const char *name, const char *value, unsigned line, void *arg);
    void (*mistake)(unsigned line, const char *why, void *arg); /* the line is left out, reading goes on */
    void *arg;
} sw_dotenv_handler;

void sw_dotenv_parse(const char *text, size_t len, const sw_dotenv_handler *handler);

#endif
