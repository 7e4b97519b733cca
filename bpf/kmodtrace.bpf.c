// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The table of contents of what runs in the kernel. A hook states what it saw; what that
 * means is decided by the reader. Above each, why this place. All run in the context of
 * the thread that loads, unloads or asks. */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <asm-generic/errno-base.h>
#include <linux/capability.h>
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "event.h"
#include "loop.h"
#include "ring.h"
#include "budget.h"
#include "shared.h"
#include "request.h"
#include "site.h"
#include "hook.h"
#include "file.h"
#include "directory.h"
#include "actor.h"
#include "creator.h"
#include "due.h"
#include "fence.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* So that the reader's types are generated from the wire format. */
const enum kind *unused_kind __attribute__((unused));
const enum call *unused_call __attribute__((unused));
const enum stage *unused_stage __attribute__((unused));
const enum flag *unused_flag __attribute__((unused));
const struct header *unused_header __attribute__((unused));
const struct loss *unused_loss __attribute__((unused));
const struct enter_event *unused_enter __attribute__((unused));
const struct return_event *unused_return __attribute__((unused));
const struct stage_event *unused_stage_event __attribute__((unused));
const struct actor_event *unused_actor __attribute__((unused));
const struct process *unused_process __attribute__((unused));
const struct ancestor_event *unused_ancestor __attribute__((unused));
const struct process_event *unused_process_event __attribute__((unused));
const enum trait *unused_trait __attribute__((unused));
const struct file_facts *unused_file_facts __attribute__((unused));
const struct file_event *unused_file __attribute__((unused));
const struct directory_event *unused_directory __attribute__((unused));
const enum door *unused_door __attribute__((unused));
const struct image_event *unused_image __attribute__((unused));
const struct denied_event *unused_denied __attribute__((unused));
const struct lookup_event *unused_lookup __attribute__((unused));
const struct format_event *unused_format __attribute__((unused));
const struct module_event *unused_module __attribute__((unused));
const struct request_event *unused_request __attribute__((unused));
const struct params_event *unused_params __attribute__((unused));
const struct text_event *unused_text __attribute__((unused));
const struct callback_event *unused_callback __attribute__((unused));
const struct helper_event *unused_helper __attribute__((unused));
const struct symbol *unused_symbol __attribute__((unused));
const enum fold *unused_fold __attribute__((unused));

/* The hooks, in the order in which a load meets them. */
#include "hooks/calls.h"
#include "hooks/files.h"
#include "hooks/lookups.h"
#include "hooks/stages.h"
#include "hooks/callbacks.h"
#include "hooks/modules.h"
#include "hooks/requests.h"
#include "hooks/threads.h"
#include "hooks/messages.h"
#include "hooks/switches.h"
