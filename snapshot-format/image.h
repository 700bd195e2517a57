/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image file (`.thaw`): reading, writing and checking. SPEC.md defines the format; this is its
 * C interface.
 *
 * Everything in a file is hostile until checked. thaw_image_open() reads the header and every table
 * into memory once and checks them; later calls use these copies and never read the tables again.
 * Frames are read and checked one by one. All addresses are guest-virtual and in bytes; all
 * multi-byte fields in the file are little-endian.
 */
#ifndef THAW_IMAGE_H
#define THAW_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot-format/base/error.h"

#define THAW_IMAGE_VERSION     1u
#define THAW_IMAGE_HEADER_SIZE 512u
#define THAW_IMAGE_PAGE	       4096u
/* All frames of an image but the last have the same number of pages, a power of two. */
#define THAW_IMAGE_FRAME_PAGES_MIN 8u
#define THAW_IMAGE_FRAME_PAGES_MAX 64u /* 256 KiB decoded */
/* Limits that the reader enforces before it allocates anything. */
#define THAW_IMAGE_ADDRESS_END		   (UINT64_C(1) << 47)
#define THAW_IMAGE_MEMORY_MAX		   (UINT64_C(64) << 30)
#define THAW_IMAGE_RANGES_MAX		   4096u
#define THAW_IMAGE_EXTENTS_MAX		   (1u << 22)
#define THAW_IMAGE_META_MAX		   (1u << 20)
#define THAW_IMAGE_XSAVE_MAX		   16384u
#define THAW_IMAGE_STRINGS_MAX		   1024u /* arguments; environment entries */
#define THAW_IMAGE_WORKING_SET_PIECES_MAX  4096u
#define THAW_IMAGE_WORKING_SET_PAGES_MAX   16384u
#define THAW_IMAGE_WORKING_SET_WRITTEN_MAX 4096u /* written pages among them */

enum thaw_prot { THAW_PROT_READ = 1, THAW_PROT_WRITE = 2, THAW_PROT_EXEC = 4 };

/* A mapped piece of guest memory. Ranges are sorted, page-aligned and not empty; they do not
 * overlap and are never both writable and executable. A page of a range that no extent covers
 * reads as zero. */
struct thaw_range {
	uint64_t start, length;
	uint32_t prot; /* enum thaw_prot bits; THAW_PROT_READ at least */
};

/* Pages of a range that hold data: the LENGTH bytes at START are the stored pages from STORE_PAGE
 * on. Extents are sorted by start and do not overlap; each lies within one range. Equal pages
 * share a stored page. */
struct thaw_extent {
	uint64_t start, length;
	uint64_t store_page;
};

/* The vCPU at the ready point, as the program sees it: no selectors, no control registers, no
 * PKRU. */
enum thaw_register {
	THAW_RAX,
	THAW_RBX,
	THAW_RCX,
	THAW_RDX,
	THAW_RSI,
	THAW_RDI,
	THAW_RBP,
	THAW_RSP,
	THAW_R8,
	THAW_R9,
	THAW_R10,
	THAW_R11,
	THAW_R12,
	THAW_R13,
	THAW_R14,
	THAW_R15,
	THAW_RIP,
	THAW_RFLAGS,
	THAW_FS_BASE,
	THAW_GS_BASE,
	THAW_REGISTERS
};

struct thaw_vcpu {
	uint64_t registers[THAW_REGISTERS];
	uint64_t xsave_mask;   /* the XCR0 bits whose state XSAVE holds */
	uint32_t xsave_length; /* bytes of XSAVE */
	const uint8_t *xsave;  /* in the standard (non-compacted) layout */
};

/* The CPU features that the guest saw: CPUID words in the order of SPEC.md's table. The engine
 * gives them meaning. */
#define THAW_CPU_WORDS 16
struct thaw_cpu_features {
	uint32_t word[THAW_CPU_WORDS];
};

/* For a guest that runs a program of its own: the guest's code is [start, end), and the system
 * calls and faults of all other code go to the two entries. All zero: the guest runs no other
 * program. The guest ABI gives them meaning. */
struct thaw_dispatch {
	uint64_t start, end, syscall_entry, fault_entry;
};

/* A piece of the working set: PAGES pages from START that an invocation touched before the image
 * was taken. A hint that costs or saves time and changes nothing else. */
struct thaw_working_set_piece {
	uint64_t start;
	uint32_t pages;
	uint32_t written; /* 1: the invocation wrote them; 0: it only read them */
};

struct thaw_image_meta {
	uint8_t uuid[16];
	uint64_t created_ns;  /* Unix time */
	uint32_t abi_version; /* of guest-stub's abi.h */
	uint64_t memory_size; /* the function's memory limit, bytes */
	uint64_t timeout_ns;  /* default deadline of an invocation */
	uint64_t boot_ns;     /* duration of the boot to the ready point */
	uint64_t generation;  /* warm requests served before the image was taken */
	struct thaw_cpu_features cpu;
	char *name;	 /* of the function (base/name.h) */
	char *program;	 /* path of the program, as the caller gave it */
	char *backend;	 /* that booted it: "kvm" or "process" */
	char *cpu_level; /* "x86-64-v3", "host", ...: from --cpu, or the default */
	char *creator;	 /* "thaw 0.1.0" */
	char **args;	 /* NULL-terminated; args[0] is the program's own name */
	char **env;	 /* NULL-terminated "KEY=VALUE" */
	struct thaw_dispatch dispatch;
	struct thaw_working_set_piece
		*working_set; /* sorted, not overlapping; NULL when none was recorded */
	size_t working_set_count;
};

/* ---- Writing ---- */

/* Guest memory to store: LENGTH bytes, a multiple of the page, at guest address START. Must lie
 * within the ranges. The writer finds zero pages itself. */
struct thaw_memory_segment {
	uint64_t start, length;
	const uint8_t *bytes;
};

struct thaw_image_content {
	const struct thaw_image_meta *meta;
	const struct thaw_vcpu *vcpu;
	const struct thaw_range *ranges;
	size_t range_count;
	const struct thaw_memory_segment *segments; /* sorted, not overlapping */
	size_t segment_count;
};

struct thaw_image_sizes {
	uint64_t mapped_bytes;	/* sum of the ranges */
	uint64_t nonzero_bytes; /* in pages that are not all zero */
	uint64_t stored_bytes;	/* after folding equal pages */
	uint64_t file_bytes;
};

/*
 * Writes an image to FD, from offset 0. FD is an empty regular file, open for writing; the caller
 * does fsync, rename and directory fsync (see thaw_image_save()). Uses up to THREADS threads (0:
 * one for each online CPU). PROGRESS, if not NULL, is called on the calling thread with the pages
 * done and the total. SIZES may be NULL. Refuses content that the reader would refuse
 * (THAW_ERR_IMAGE), in the same words.
 */
int thaw_image_write(int fd, const struct thaw_image_content *content, unsigned threads,
		     void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
		     struct thaw_image_sizes *sizes, struct thaw_error *err);

/* ---- Reading ---- */

/* A checked image. Immutable once open, so any number of threads may read it. */
struct thaw_image_file;

struct thaw_image_frame {
	uint64_t offset;     /* in the file */
	uint32_t length;     /* compressed bytes */
	uint32_t page_count; /* 1..THAW_IMAGE_FRAME_PAGES_MAX */
	uint64_t first_page; /* index of its first stored page */
	uint64_t checksum;   /* XXH3-64 of the compressed bytes */
};

/*
 * Reads and checks the header and all tables of FD; reads no frames. *OUT uses FD and does not own
 * it: keep it open until thaw_image_close(). Damage, truncation and unknown versions are
 * THAW_ERR_IMAGE with the reason; a read error is THAW_ERR_FAILURE.
 */
int thaw_image_open(int fd, struct thaw_image_file **out, struct thaw_error *err);
void thaw_image_close(struct thaw_image_file *image); /* NULL is fine */

/* Closes the local's image, if any, when it goes out of scope. */
static inline void thaw_cleanup_image(struct thaw_image_file **image)
{
	thaw_image_close(*image);
}
#define thaw_autoimage __attribute__((cleanup(thaw_cleanup_image)))

int thaw_image_fd(const struct thaw_image_file *image);
const struct thaw_image_meta *thaw_image_meta(const struct thaw_image_file *image);
const struct thaw_vcpu *thaw_image_vcpu(const struct thaw_image_file *image);
const struct thaw_range *thaw_image_ranges(const struct thaw_image_file *image, size_t *count);
const struct thaw_extent *thaw_image_extents(const struct thaw_image_file *image, size_t *count);
const struct thaw_image_frame *thaw_image_frames(const struct thaw_image_file *image,
						 size_t *count);
/* The number of stored pages in each frame but the last: stored page N is in frame N / this. */
unsigned thaw_image_frame_pages(const struct thaw_image_file *image);
void thaw_image_get_sizes(const struct thaw_image_file *image, struct thaw_image_sizes *out);

/* Reads COUNT frames from FIRST on to COMPRESSED, which has room for the sum of their lengths; they
 * are contiguous in the file. A file that ends earlier is THAW_ERR_IMAGE. */
int thaw_image_frames_read(const struct thaw_image_file *image, size_t first, size_t count,
			   void *compressed, struct thaw_error *err);

/* Checks COMPRESSED, the frame's LENGTH bytes, against the frame table, as far as possible without
 * decoding. */
int thaw_image_frame_check(const struct thaw_image_file *image, size_t frame,
			   const void *compressed, struct thaw_error *err);

/*
 * Checks COMPRESSED likewise and decodes it into RAW, which has room for page_count *
 * THAW_IMAGE_PAGE bytes. DCTX is a ZSTD_DCtx that no other thread uses, or NULL for a temporary
 * one.
 */
int thaw_image_frame_decode(const struct thaw_image_file *image, size_t frame,
			    const void *compressed, void *raw, void *dctx, struct thaw_error *err);

/*
 * Calls PLACE once for each run of guest memory that the decoded frame RAW fills: LENGTH bytes for
 * guest address START. A stored page that several guest pages share is placed several times. Stops
 * at a negative return of PLACE and returns it.
 */
int thaw_image_frame_scatter(const struct thaw_image_file *image, size_t frame, const void *raw,
			     int (*place)(void *context, uint64_t start, const void *bytes,
					  size_t length),
			     void *context);

/* Opens FD and decodes every frame. Returns 0 when each byte of the file is as it was written. */
int thaw_image_verify(int fd, struct thaw_error *err);

/* ---- Files ---- */

/*
 * Writes an image to DIRECTORY_FD/FILE_NAME atomically: whatever is killed when, FILE_NAME is
 * either the new image, whole, or what it was before. It writes an unnamed file of mode 0600 (a
 * temporary one where the file system has no unnamed files), does fsync, renames it over the old
 * file, and does fsync on the directory. Other arguments as for thaw_image_write().
 */
int thaw_image_save(int directory_fd, const char *file_name,
		    const struct thaw_image_content *content, unsigned threads,
		    void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
		    struct thaw_image_sizes *sizes, struct thaw_error *err);

#endif
