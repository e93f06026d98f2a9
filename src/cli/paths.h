/* Where the program finds its parts. All results belong to the caller. */
#ifndef SW_CLI_PATHS_H
#define SW_CLI_PATHS_H

#include "base/base.h"

/* The folder of the running program; "." when the kernel does not say. */
char *sw_path_of_program(void);
/* `setting`, if it is not empty; else the first that is there of: beside the program, the libexec folder of
 * the program's own prefix, the libexec folder of the installation. */
char *sw_path_worker(const char *setting, const char *program_dir);
/* `setting`, if it is not empty; else the first that has a detect.lua of: scripts beside the program's folder
 * (a build tree), the data folder of the program's own prefix, the data folder of the installation. */
char *sw_path_scripts(const char *setting, const char *program_dir);
/* `setting`, $STATE_DIRECTORY (its first folder), "data". */
char *sw_path_storage(const char *setting, const char *state_directory);

#endif
