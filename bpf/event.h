/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The wire format: what one hook saw, as the reader finds it in the ring.
 * Fixed sizes, largest fields first, no holes; what is added later comes last, because
 * recordings of earlier releases end before it. The Go types are generated from here. */
#pragma once

#define NAME_LEN    56	 /* the kernel's MODULE_NAME_LEN on 64-bit machines */
#define VERSION_LEN 64
#define PATH_LEN    1024
#define PATH_NAME   256 /* NAME_MAX and its NUL */
#define DIRECTORY_LEN 256
#define TEXT_LEN    1024 /* the kernel's longest record of its log */
#define PARAMS_LEN  1024
#define SHORT_TEXT  64 /* of an event that ends with a text, where that is no longer */
#define ARGS_LEN    512
#define TTY_LEN	    32
#define CGROUP_LEN  512
#define ANCESTRY    32 /* a process and its ancestors, as far as they are kept */
#define MOST_TOLD   1024
#define MOST_TOLD_LIMITED 512

enum kind {
	KIND_ENTER = 1,	     /* struct enter_event: a system call began */
	KIND_LEAVE,	     /* struct return_event: it returned */
	KIND_FILE,	     /* struct file_event: the file it reads */
	KIND_IMAGE,	     /* struct image_event: the bytes that load_module works on */
	KIND_DENIED,	     /* struct denied_event: a security module refused the bytes */
	KIND_LOOKUP,	     /* struct lookup_event: the kernel looked for a module by its name */
	KIND_STAGE,	     /* struct stage_event: a stage of the load began */
	KIND_PARAMS,	     /* struct params_event: what parse_args received */
	KIND_MODULE_LOAD,    /* struct module_event: tracepoint, before the init runs */
	KIND_INIT,	     /* struct module_event: do_init_module began */
	KIND_INITCALL,	     /* struct return_event: what the module's own init returned */
	KIND_INIT_RETURN,    /* struct return_event: what do_init_module returned */
	KIND_FREE,	     /* struct module_event: free_module began; also after a failed init */
	KIND_MODULE_FREE,    /* struct module_event: the tracepoint inside it */
	KIND_REQUEST,	     /* struct request_event: the kernel asks for a module */
	KIND_REQUEST_FORMAT, /* struct format_event: it asked, and it came to no helper */
	KIND_REQUEST_RETURN, /* struct return_event: the helper's wait status or -errno */
	KIND_MESSAGE,	     /* struct text_event: printed by a thread inside a load or unload */
	KIND_DIED,	     /* struct return_event: the thread was killed for a fault */
	KIND_ACTOR,	     /* struct actor_event: who makes the attempt or request */
	KIND_ANCESTOR,	     /* struct ancestor_event: its process, then the parent of that, and so on */
	KIND_PROCESS,	     /* struct process_event: the rest about one of them, the first time */
	KIND_CALLBACK,	     /* struct callback_event: one of those of which one refused the module */
	KIND_HELPER,	     /* struct helper_event: the kernel starts another program than modprobe */
	KIND_DIRECTORY,	     /* struct directory_event: where the thread is that makes the attempt */
	KIND_FENCE = 0xffff, /* struct header: the reader's own mark, and no event (fence.h) */
};

enum call {
	CALL_INIT_MODULE = 1,
	CALL_FINIT_MODULE,
	CALL_DELETE_MODULE,
};

enum stage {
	STAGE_READ = 1,
	STAGE_VERIFY,
	STAGE_RESOLVE,
	STAGE_RELOCATE,
	STAGE_FINALIZE,
	STAGE_PARAMS,
	STAGE_SYSFS,
	STAGE_INIT,
};

enum door {
	DOOR_READ_FILE = 1,
	DOOR_POST_READ_FILE,
	DOOR_LOAD_DATA,
	DOOR_POST_LOAD_DATA,
};

enum flag {
	FLAG_COMPAT = 1 << 0,	 /* entered by the 32-bit system call table */
	FLAG_CLAIMED = 1 << 1,	 /* the caller's word; the kernel may have used something else */
	FLAG_CUT = 1 << 2,	 /* the text or path was longer than its field; no ancestors follow */
	FLAG_UNREADABLE = 1 << 3, /* user memory that was not resident */
	FLAG_UNLINKED = 1 << 4,	 /* the file or directory has no name any more */
	FLAG_INTERNAL = 1 << 5,	 /* on a mount of the kernel's own: memfd */
	FLAG_SIGNED = 1 << 6,	 /* sig_ok */
	FLAG_HAS_SIG = 1 << 7,	 /* this kernel knows sig_ok at all */
	FLAG_WAIT = 1 << 8,	 /* the requester waits for the helper */
	FLAG_DENIED = 1 << 9,	 /* a security module refused the request */
	FLAG_CAPABLE = 1 << 10,	 /* of a system call: CAP_SYS_MODULE in the first user namespace */
	FLAG_FOUND = 1 << 11,	 /* there is a module of that name */
	FLAG_HAS_INIT = 1 << 12,
	FLAG_HAS_EXIT = 1 << 13,
	FLAG_HAS_REFS = 1 << 14, /* this kernel counts references at all */
	FLAG_LIMITED = 1 << 15,	 /* of a request or process: for a thread without FLAG_CAPABLE */
};

struct header {
	__u64 time;    /* CLOCK_BOOTTIME, ns */
	__u64 attempt; /* when the thread entered the system call that it is in; 0 outside */
	__u64 start;   /* CLOCK_BOOTTIME, ns, of the process */
	__u64 cgroup;
	__u64 lost; /* events that this CPU could not deliver before this one */
	__u32 tid, tgid;
	__u32 uid, gid;
	__u32 cpu;
	__u16 kind;
	__u16 flags;
	__u8 comm[16];
};
_Static_assert(sizeof(struct header) == 80, "wire format");

struct enter_event {
	struct header h;
	__u64 size;  /* init_module: bytes of the image */
	__u32 call;
	__u32 flags; /* finit_module, delete_module */
	__s32 fd;    /* finit_module */
	__u8 text[PARAMS_LEN - 4]; /* parameters, or the name for delete_module */
};
_Static_assert(sizeof(struct enter_event) == 80 + 16 + PARAMS_LEN, "wire format");

/* A process, by what tells it from others and from what it was before: the
 * process that execs or changes its user is another one here. */
struct process {
	__u64 start;  /* CLOCK_BOOTTIME, ns */
	__u64 cgroup;
	__u32 pid;
	__u32 exec;   /* counts its execs */
	__u32 uid, euid;
	__u32 loginuid, session; /* -1: none */
	__u32 mnt_ns, user_ns;
	__u8 comm[16]; /* no part of its identity */
};
_Static_assert(sizeof(struct process) == 64, "wire format");

struct actor_event {
	struct header h;
	__u64 of; /* the attempt or the request */
	__u64 capabilities;
	__u32 length; /* of the arguments as its memory has them */
	__u32 generation; /* 0: the actor; 1: who had its kernel thread made; 2: the same of that one */
	__u8 args[ARGS_LEN];
};
_Static_assert(sizeof(struct actor_event) == 104 + ARGS_LEN, "wire format");

struct ancestor_event {
	struct header h;
	__u64 of;
	__u64 request; /* whose helper it is: when that request was made; 0 of none */
	__u32 index;
	__u32 generation; /* as actor_event.generation */
	struct process process;
};
_Static_assert(sizeof(struct ancestor_event) == 104 + 64, "wire format");

struct return_event {
	struct header h;
	__s64 ret;
	/* The rest: KIND_LEAVE and KIND_DIED only. */
	__u32 call;
	__u32 lost;    /* events of this attempt that were not delivered */
	__u32 symbols; /* symbols looked up */
	__u32 unused;
};
_Static_assert(sizeof(struct return_event) == 104, "wire format");

struct stage_event {
	struct header h;
	__u32 stage;
	__u32 symbols; /* symbols looked up so far */
};
_Static_assert(sizeof(struct stage_event) == 88, "wire format");

struct file_facts {
	__u64 ino;
	__u64 size;
	__u64 magic; /* of the file system */
	__s64 changed; /* CLOCK_REALTIME, ns: its change time */
	__u32 dev;   /* the kernel's encoding: major << 20 | minor */
	__u32 mode;
	__u32 uid, gid;
	__u32 unused;
	__u32 length;
	__u8 path[PATH_LEN + PATH_NAME]; /* names from the leaf to the root, each ended by NUL */
};

struct file_event {
	struct header h;
	struct file_facts file;
};
_Static_assert(sizeof(struct file_event) == 80 + 56 + PATH_LEN + PATH_NAME, "wire format");

/* The directory that the paths of its thread are relative to. Most paths are short: FLAG_CUT
 * says that there is more. */
struct directory_event {
	struct header h;
	__u32 unreachable; /* no path leads there from the root of the thread's mount namespace */
	__u32 length;
	__u8 path[DIRECTORY_LEN + PATH_NAME]; /* as file_facts.path */
};
_Static_assert(sizeof(struct directory_event) == 88 + DIRECTORY_LEN + PATH_NAME, "wire format");

enum trait {
	TRAIT_KTHREAD = 1 << 0,
	TRAIT_FIRST_PID_NS = 1 << 1,
	TRAIT_FIRST_USER_NS = 1 << 2,
	TRAIT_CGROUP_CUT = 1 << 3,
	TRAIT_WORKER = 1 << 4, /* of a workqueue */
};

struct process_event {
	struct header h; /* the flags are of the file */
	struct process process;
	struct file_facts exe;
	__u32 traits;
	__u32 pid_ns;
	__u32 unused;
	__u32 cgroup_length;
	__u8 tty[TTY_LEN];
	__u8 cgroup[CGROUP_LEN + PATH_NAME]; /* as file_facts.path */
};
_Static_assert(sizeof(struct process_event) == 80 + 64 + 56 + PATH_LEN + PATH_NAME + 16 + TTY_LEN + CGROUP_LEN + PATH_NAME, "wire format");

#define HEAD_LEN 64 /* an ELF header of 64 bits */
#define TAIL_LEN 40 /* struct module_signature and the mark of a signature */

struct image_event {
	struct header h;
	__u64 size;
	__u8 head[HEAD_LEN];
	__u8 tail[TAIL_LEN];
};
_Static_assert(sizeof(struct image_event) == 88 + HEAD_LEN + TAIL_LEN, "wire format");

struct denied_event {
	struct header h;
	__s32 ret;
	__u32 door;
};
_Static_assert(sizeof(struct denied_event) == 88, "wire format");

#define HOLDERS 8

struct lookup_event {
	struct header h;
	__u64 module;
	__u32 state;
	__s32 refs;
	__u32 holders; /* all of them; names of the first */
	__u32 unused;
	__u8 name[NAME_LEN];
	__u8 holder[HOLDERS][NAME_LEN];
};
_Static_assert(sizeof(struct lookup_event) == 104 + (1 + HOLDERS) * NAME_LEN, "wire format");

struct module_event {
	struct header h;
	__u64 module; /* the kernel's struct module, as an identity */
	__u64 taints;
	__u64 address;
	__u32 size;	 /* bytes that stay */
	__u32 init_size; /* bytes that are freed after the init */
	__u32 state;
	__u32 unused;
	__u8 name[NAME_LEN];
	__u8 version[VERSION_LEN];
	__u8 srcversion[VERSION_LEN];
	__u64 init_address; /* of what is freed after the init */
};
_Static_assert(sizeof(struct module_event) == 120 + NAME_LEN + 2 * VERSION_LEN + 8, "wire format");

#define SITE_LEN 160

struct request_event {
	struct header h;
	__u64 site; /* the kernel address that asked */
	__u8 name[NAME_LEN];
	__u8 symbol[SITE_LEN]; /* of site; empty where this kernel cannot tell a program */
};
_Static_assert(sizeof(struct request_event) == 88 + NAME_LEN + SITE_LEN, "wire format");

#define FORMAT_ARGS 3

/* What request_module was given, for the reader to put together: an argument
 * is a number, or a pointer to the text beside it. */
struct format_event {
	struct header h;
	__u64 site;
	__u64 arg[FORMAT_ARGS];
	__u8 format[NAME_LEN];
	__u8 text[FORMAT_ARGS][NAME_LEN];
	__u8 symbol[SITE_LEN]; /* as request_event.symbol */
};
_Static_assert(sizeof(struct format_event) == 112 + (1 + FORMAT_ARGS) * NAME_LEN + SITE_LEN, "wire format");

/* KMOD_PATH_LEN of the kernel, which bounds kernel.modprobe. */
#define HELPER_LEN 256

struct helper_event {
	struct header h;
	__u8 path[HELPER_LEN];
};
_Static_assert(sizeof(struct helper_event) == 80 + HELPER_LEN, "wire format");

struct text_event {
	struct header h;
	__u64 record; /* of the kernel's log: a later event with it replaces this; 0 unknown */
	__u32 length; /* of the text as the kernel had it */
	__u32 level;  /* that of printk, and one more; 0 unknown */
	__u8 text[TEXT_LEN];
};
_Static_assert(sizeof(struct text_event) == 96 + TEXT_LEN, "wire format");

/* A callback on the chain that the kernel runs when a module is complete. Which of them
 * refused, the kernel does not tell. */
struct callback_event {
	struct header h; /* FLAG_CUT: there are more on the chain */
	__u64 address;
	__s32 ret; /* what the chain gave: -errno */
	__u32 index;
	__u8 symbol[SITE_LEN]; /* of address; empty where this kernel cannot tell a program */
};
_Static_assert(sizeof(struct callback_event) == 96 + SITE_LEN, "wire format");

struct params_event {
	struct header h;
	__u8 name[NAME_LEN]; /* of the module: the first time that the kernel says it */
	__u8 text[PARAMS_LEN];
};
_Static_assert(sizeof(struct params_event) == 80 + NAME_LEN + PARAMS_LEN, "wire format");
