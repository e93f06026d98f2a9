/*
 * One value of one setting: from text (or a list of texts) into its field, checked; and back to text.
 * `why` is what the value must be, in words for people ("must be true or false"); the caller frees it.
 */
#ifndef SW_CONFIG_VALUE_H
#define SW_CONFIG_VALUE_H

#include "config/settings.h"

/* Splits lists at their separator. 0, or -1 with *why; the field then keeps what it had. */
int sw_value_set(sw_config *config, const sw_setting *setting, const char *text, char **why);
int sw_value_set_list(sw_config *config, const sw_setting *setting, const char *const *items, size_t n,
                      char **why);
/* The same for a field that lies elsewhere, with the type, limits and checks of a setting (receivers.c). */
int sw_value_set_at(void *out, const sw_setting *setting, const char *text, char **why);
int sw_value_set_list_at(void *out, const sw_setting *setting, const char *const *items, size_t n,
                         char **why);
void sw_value_copy_at(void *to, const void *from, const sw_setting *setting); /* `to` held nothing */
char *sw_value_show_at(const void *value, const sw_setting *setting);
void sw_value_release_at(void *value, const sw_setting *setting);
/* The value for people, secrets hidden. Caller frees. */
char *sw_value_show(const sw_config *config, const sw_setting *setting);
/* A text that may be wrong, for a mistake's line: cut, control characters replaced, secrets hidden. Caller
 * frees. */
char *sw_value_quote(const sw_setting *setting, const char *text);
void sw_value_release(sw_config *config, const sw_setting *setting);

sw_string_list sw_string_list_copy(const char *const *items, size_t n);
void sw_string_list_release(sw_string_list *list);

#endif
