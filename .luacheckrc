-- What a script of spanwatch can see; tests/ and *_test.lua see more.
std = "lua54"
max_line_length = 130
exclude_files = { "scripts/types" }
globals = {}
read_globals = { "json" }
not_globals = { "io", "debug", "package", "dofile", "loadfile" }

files["**/*_test.lua"] = { read_globals = { "test" } }
files["examples/config.lua"] = { read_globals = { "env" } } -- a config file is no detector
