// Package kmodtrace only holds the generate lines of the kernel side: bpf/ to
// tracer/, holders/ and internal/follow/. The compiler is pinned in the Makefile, whose target generate calls it.
package kmodtrace

//go:generate go tool bpf2go -target amd64,arm64 -output-dir tracer -go-package tracer -cflags "-O2 -g -Wall -Werror -mcpu=v3" -type kind -type call -type stage -type flag -type header -type loss -type enter_event -type return_event -type stage_event -type door -type trait -type file_facts -type file_event -type directory_event -type process -type actor_event -type ancestor_event -type process_event -type image_event -type denied_event -type lookup_event -type format_event -type module_event -type request_event -type params_event -type text_event -type callback_event -type helper_event -type symbol -type fold_key -type folded -type fold -type absent bpf bpf/kmodtrace.bpf.c -- -idirafter $BPF_INCLUDE
//go:generate go tool bpf2go -target amd64,arm64 -output-dir tracer -go-package tracer -cflags "-O2 -g -Wall -Werror -mcpu=v3 -DLOOP" loops bpf/kmodtrace.bpf.c -- -idirafter $BPF_INCLUDE
//go:generate go tool bpf2go -target amd64,arm64 -output-dir tracer -go-package tracer -cflags "-O2 -g -Wall -Werror -mcpu=v3" -type part_state -type part copier bpf/copier.bpf.c -- -idirafter $BPF_INCLUDE
//go:generate go tool bpf2go -target amd64,arm64 -output-dir holders -go-package holders -cflags "-O2 -g -Wall -Werror -mcpu=v3" -type site -type balance -type total refs bpf/refs.bpf.c -- -idirafter $BPF_INCLUDE
//go:generate go tool bpf2go -target amd64,arm64 -output-dir internal/follow -go-package follow -cflags "-O2 -g -Wall -Werror -mcpu=v3" -type tool_run tools bpf/tools.bpf.c -- -idirafter $BPF_INCLUDE
//go:generate go tool bpf2go -target amd64,arm64 -output-dir holders -go-package holders -cflags "-O2 -g -Wall -Werror -mcpu=v3" -type usage -type opened users bpf/users.bpf.c -- -idirafter $BPF_INCLUDE
