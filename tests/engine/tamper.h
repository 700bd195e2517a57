/* SPDX-License-Identifier: Apache-2.0 */
/* The tricks that test_process_recycle.c asks guest_tamper.c for. */
#ifndef TEST_TAMPER_H
#define TEST_TAMPER_H

#include <stdint.h>

/* TRICKS(X): X(name, what must become of the clone). */
#define TAMPER_TRICKS(X)                                                                           \
	X(honest, RECYCLED)	    /* says what it finds in the processor */                      \
	X(registers, RECYCLED)	    /* a secret in all that it has, odd flags, selectors */        \
	X(trap_flag, LOST)	    /* the next instruction after the wait is a trap */            \
	X(write_disabled, RECYCLED) /* by protection keys, everywhere */                           \
	X(bases, RECYCLED)	    /* by ARCH_SET_FS and ARCH_SET_GS, and said so */              \
	X(bases_near, RECYCLED)	    /* not said, and where memory is */                            \
	X(bases_hidden, ANY)	    /* not said, and where there is none, perhaps */               \
	X(affinity, RECYCLED)                                                                      \
	X(dispatch_on, RECYCLED) /* system calls of all code but the shim's are signals */         \
	X(limit, RECYCLED)	 /* tries to have its RLIMIT_NPROC back */                         \
	X(fill, RECYCLED)	 /* every writable byte, mailbox and the shim's included */        \
	X(map_and_unmap, RECYCLED)                                                                 \
	X(map, RECYCLED)                                                                           \
	X(unmap_image, RECYCLED)                                                                   \
	X(cover_image, RECYCLED) /* fresh memory in place of the image's */                        \
	X(protect_image, RECYCLED)                                                                 \
	X(protect_and_back, ANY)                                                                   \
	X(mailbox_away_and_back, ANY)                                                              \
	X(mailbox_copied, REFUSED)     /* private memory in its place */                           \
	X(variables_replaced, REFUSED) /* the shim's, by fresh memory that looks the same */       \
	X(text_changed, REFUSED)       /* of the shim, and changed back */                         \
	X(spin, REFUSED)                                                                           \
	X(waits_elsewhere, REFUSED) /* by another SYSCALL */                                       \
	X(waits_for_other, REFUSED) /* on another word */                                          \
	X(waits_a_while, REFUSED)                                                                  \
	X(sigreturn, ENDED) /* which would set signal mask and stack */                            \
	X(sigaltstack, ENDED)                                                                      \
	X(jump, ANY) /* to `offset` bytes from the wait, all registers secret */

#define TAMPER_ENUM(name, worth) TAMPER_##name,
enum tamper_trick { TAMPER_TRICKS(TAMPER_ENUM) TAMPER_COUNT };

#define TAMPER_RANGES 64

struct tamper_order {
	uint32_t trick;
	int32_t offset;
	uint64_t secret[2];	     /* canonical */
	uint64_t wait;		     /* the SYSCALL of the shim's wait */
	uint64_t bss_start, bss_end; /* the shim's anonymous variables */
	uint64_t range_count;
	struct {
		uint64_t start, end;
	} ranges[TAMPER_RANGES]; /* all that is writable */
};

/* The processor's state as the image's `next` came back; tamper.S has the offsets. */
struct tamper_seen {
	uint64_t registers[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8..r15 */
	uint64_t flags;
	uint64_t selectors[6]; /* cs ss ds es fs gs */
	uint64_t fs_base, gs_base;
	uint64_t reserved[7];
	uint8_t xsave[8192]; /* at 256 */
};

#endif
