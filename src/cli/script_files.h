/* Finding and reading Lua files for the verbs. */
#ifndef SW_CLI_SCRIPT_FILES_H
#define SW_CLI_SCRIPT_FILES_H

#include "base/buf.h"

#define SW_SCRIPT_MAX ((size_t)1 << 20) /* bytes of one script */

typedef struct sw_files {
    char **paths; /* sorted */
    size_t n;
} sw_files;

void sw_files_add(sw_files *files, const char *path);
void sw_files_release(sw_files *files);
bool sw_is_test_file(const char *path); /* "*_test.lua" */

/* The detectors that run: *.lua directly in the folder, but no tests. -1 with errno. */
int sw_find_detectors(const char *scripts_dir, sw_files *out);
/* All *_test.lua in the folder and beneath (hidden folders are left out), or the file itself. -1 with errno.
 */
int sw_find_tests(const char *path, sw_files *out);

/* The text of a script (caller frees), or NULL with *error (caller frees): unreadable, too large, not UTF-8
 * text. */
char *sw_read_script(const char *path, char **error);
/* "a/b" of "a/b/c.lua"; "." of "c.lua". Caller frees. */
char *sw_folder_of(const char *path);
const char *sw_file_name(const char *path);

#endif
