/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing of an invocation is left in a machine that was recycled. A guest puts a secret in every
 * place that it can; the test searches all of the machine's memory and all of its vCPU.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/host/cpu.h"
#include "tests/kvm/fresh.h"
#include "tests/kvm/plain.h"
#include "tests/kvm/secret.h"
#include "tests/kvm/with_kvm.h"

#define MEMORY (12u << 20)
#define PAGE   THAW_PAGE_SIZE

TestSuite(kvm_leak, .timeout = 280);

/* ---- The whole vCPU ---- */

#define MSRS 14u

static const uint32_t msrs[MSRS] = {0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100,
				    0xc0000101, 0xc0000102, 0xc0000103, 0x174,	    0x175,
				    0x176,	0x277,	    0x1d9,	0x2ff};

struct vcpu {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_vcpu_events events;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[MSRS];
	} msrs;
	uint64_t xsave[4096 / 8];
};

static void get_vcpu(const struct kvm_instance *instance, struct vcpu *vcpu)
{
	int fd = instance->machine.vcpu_fd;

	memset(vcpu, 0, sizeof(*vcpu));
	for (unsigned i = 0; i < MSRS; i++) {
		vcpu->msrs.head.nmsrs = 1;
		vcpu->msrs.entries[0] = (struct kvm_msr_entry){.index = msrs[i]};
		/* Not every processor has every MSR. */
		if (kvm_ioctl(fd, KVM_GET_MSRS, &vcpu->msrs) == 1 && i)
			vcpu->msrs.entries[i] = vcpu->msrs.entries[0];
	}
	vcpu->msrs.entries[0].index = msrs[0];
	cr_assert_eq(kvm_ioctl(fd, KVM_GET_MSRS, &vcpu->msrs), 1);
	cr_assert_eq(kvm_ioctl(fd, KVM_GET_REGS, &vcpu->regs), 0);
	cr_assert_eq(kvm_ioctl(fd, KVM_GET_SREGS, &vcpu->sregs), 0);
	cr_assert_eq(kvm_ioctl(fd, KVM_GET_XCRS, &vcpu->xcrs), 0);
	cr_assert_eq(kvm_ioctl(fd, KVM_GET_DEBUGREGS, &vcpu->debug), 0);
	cr_assert_eq(kvm_ioctl(fd, KVM_GET_VCPU_EVENTS, &vcpu->events), 0);
	cr_assert_eq(kvm_ioctl(fd, KVM_GET_XSAVE, &vcpu->xsave), 0);
}

static void expect_part(const void *a, const void *b, size_t length, const char *part,
			const char *what)
{
	for (size_t i = 0; i < length; i++)
		if (((const uint8_t *)a)[i] != ((const uint8_t *)b)[i]) {
			cr_expect_fail("%s: %s differs at byte %zu: %#x, new %#x", what, part, i,
				       ((const uint8_t *)a)[i], ((const uint8_t *)b)[i]);
			return;
		}
}

#define EXPECT_SAME(a, b, part, what)                                                              \
	expect_part(&(a)->part, &(b)->part, sizeof((a)->part), #part, what)

/* Clears what no guest can read: state of ring 0 or of KVM that is written before it has a meaning
 * again. */
static void forget_unreadable(struct vcpu *vcpu)
{
	struct kvm_segment *segments[] = {&vcpu->sregs.ds, &vcpu->sregs.es, &vcpu->sregs.fs,
					  &vcpu->sregs.gs};

	/* CR2, an address of a guest's page: the next fault overwrites it. */
	vcpu->sregs.cr2 = 0;
	/* The cached parts of a null selector, except for its base. */
	for (unsigned i = 0; i < 4; i++)
		if (segments[i]->unusable)
			*segments[i] = (struct kvm_segment){.base = segments[i]->base,
							    .selector = segments[i]->selector,
							    .unusable = 1};
	/* KVM's note of an exception that it has already delivered. */
	if (!vcpu->events.exception.injected && !vcpu->events.exception.pending)
		memset(&vcpu->events.exception, 0, sizeof(vcpu->events.exception));
}

static void expect_same(struct vcpu *a, struct vcpu *b, const char *what)
{
	forget_unreadable(a);
	forget_unreadable(b);
	EXPECT_SAME(a, b, regs, what);
	EXPECT_SAME(a, b, xcrs, what);
	EXPECT_SAME(a, b, debug, what);
	EXPECT_SAME(a, b, events, what);
	EXPECT_SAME(a, b, msrs, what);
	EXPECT_SAME(a, b, xsave, what);
	EXPECT_SAME(a, b, sregs.cs, what);
	EXPECT_SAME(a, b, sregs.ds, what);
	EXPECT_SAME(a, b, sregs.es, what);
	EXPECT_SAME(a, b, sregs.fs, what);
	EXPECT_SAME(a, b, sregs.gs, what);
	EXPECT_SAME(a, b, sregs.ss, what);
	EXPECT_SAME(a, b, sregs, what);
}

/* ---- The search ---- */

struct search {
	const char *what;
	const struct secret_order *order;
	uint64_t found;
};

static void search_bytes(struct search *search, const void *bytes, size_t length, const char *where,
			 uint64_t page)
{
	for (unsigned half = 0; half < 2; half++) {
		const uint8_t *at =
			memmem(bytes, length, &search->order->secret[half], sizeof(uint64_t));

		if (!at)
			continue;
		search->found++;
		cr_expect(search->found > 5, "%s: the secret is in %s %llu at %#lx", search->what,
			  where, (unsigned long long)page,
			  (unsigned long)(at - (const uint8_t *)bytes));
	}
}

static void search_page(void *context, uint64_t page, const uint8_t *bytes)
{
	search_bytes(context, bytes, PAGE, "page", page);
}

static void expect_nothing(const struct kvm_instance *instance, const struct secret_order *order,
			   const char *what)
{
	struct search search = {what, order, 0};
	struct vcpu *vcpu = malloc(sizeof(*vcpu));

	fresh_each_resident(&instance->machine, search_page, &search);
	get_vcpu(instance, vcpu);
	search_bytes(&search, vcpu, sizeof(*vcpu), "vCPU", 0);
	search_bytes(&search, instance->machine.run, instance->machine.run_size, "kvm_run", 0);
	free(vcpu);
}

/* Counts the secrets before recycling, to show that the search can find them. */
static uint64_t count_secrets(const struct kvm_instance *instance, const struct secret_order *order)
{
	struct search search = {"before", order, 1000};

	fresh_each_resident(&instance->machine, search_page, &search);
	return search.found - 1000;
}

/* ---- The guest ---- */

static struct secret_order new_order(struct thaw_engine *engine, uint64_t *seed)
{
	const uint32_t *words = thaw_engine_meta(engine)->cpu.word;
	struct secret_order order = {.number = THAW_HYPERCALL_next};

	for (unsigned i = 0; i < 2; i++)
		order.secret[i] = plain_random(seed) & UINT64_C(0x7fffffffffff);
	order.flags = words[THAW_CPU_XCR0] & 4 ? SECRET_AVX : 0;
	order.flags |= words[THAW_CPU_7_EBX] & 1 ? SECRET_FSGSBASE : 0;
	return order;
}

static void run_order(struct thaw_instance *instance, const struct secret_order *order,
		      size_t length, struct with_answer *answer)
{
	uint8_t *request = malloc(sizeof(*order) + length + 16);

	memcpy(request, order, sizeof(*order));
	for (size_t i = 0; i < length; i += 16)
		memcpy(request + sizeof(*order) + i, order->secret, 16);
	with_run(instance, request, sizeof(*order) + length, 0, answer);
	free(request);
}

/* Memory that both have mapped must be equal; memory that only one has was held against the
 * image. */
struct compare {
	struct walk_memory memory, other;
	unsigned both;
};

static bool compare_leaf(void *context, const struct walk_leaf *leaf)
{
	struct compare *compare = context;
	struct walk_leaf other;

	if (!leaf->user || walk_find(&compare->other, leaf->address, &other) != WALK_MAPPED)
		return true;
	compare->both++;
	cr_expect_eq(leaf->execute, other.execute);
	/* One of the two may not have been written to yet. */
	if (leaf->write == other.write)
		cr_expect_eq(leaf->size, other.size);
	cr_expect(!memcmp(walk_host(&compare->memory, leaf->gpa, leaf->size),
			  walk_host(&compare->other, other.gpa, other.size), leaf->size),
		  "%#llx differs from a new clone's", (unsigned long long)leaf->address);
	return true;
}

/* Compares a recycled machine with a clone that has never run, and destroys the latter. */
static void expect_like_new(struct thaw_engine *engine, const struct kvm_instance *recycled,
			    const char *what)
{
	struct thaw_instance *base = with_instance(engine);
	const struct kvm_instance *instance = with_kvm_instance(base);
	struct vcpu *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	struct compare compare;

	while (!thaw_instance_prepare(base))
		;
	compare = (struct compare){fresh_memory(recycled), fresh_memory(instance), 0};
	walk_each(&compare.memory, compare_leaf, &compare);
	cr_expect_gt(compare.both, 3);
	get_vcpu(recycled, a);
	get_vcpu(instance, b);
	/* The generic way sets the next RIP at once, the fast way when it enters. */
	if (instance->backend->generic)
		a->regs.rip = b->regs.rip;
	expect_same(a, b, what);
	free(a);
	free(b);
	thaw_instance_destroy(base);
}

static void leave_secrets(enum thaw_backend_kind kind)
{
	static const size_t lengths[] = {0, 16, 4096, 65536, 200000};
	struct thaw_engine *engine = with_guest(kind, "guest-secret", MEMORY, 3);
	struct thaw_instance *instance = with_instance(engine);
	struct with_answer *answer = malloc(sizeof(*answer));
	const char *name = thaw_backend_name(kind);
	uint64_t seed = plain_seed(name);
	unsigned rounds = plain_scaled(12);

	for (unsigned round = 0; round < (rounds < 3 ? 3 : rounds); round++) {
		struct secret_order order = new_order(engine, &seed);
		const char *difference;

		run_order(instance, &order, lengths[round % 5], answer);
		cr_assert_eq(answer->outcome.kind, THAW_OUTCOME_finished, "%s: %s", name,
			     answer->outcome.message);
		cr_assert_eq(answer->length, THAW_WINDOW_SIZE);
		cr_assert_gt(count_secrets(with_kvm_instance(instance), &order), 2000);
		cr_assert(thaw_instance_recycle(instance), "%s, round %u", name, round);
		difference = fresh_difference(with_kvm_instance(instance));
		cr_expect_null(difference, "%s, round %u: %s", name, round, difference);
		expect_nothing(with_kvm_instance(instance), &order, name);
		if (round % 3 == 0)
			expect_like_new(engine, with_kvm_instance(instance), name);
		/* The next guest finds everything in place. */
		order.number = 0;
		run_order(instance, &order, 0, answer);
		cr_assert_eq(answer->outcome.kind, THAW_OUTCOME_finished);
		cr_assert(thaw_instance_recycle(instance));
	}
	free(answer);
	thaw_instance_destroy(instance);
	thaw_engine_close(engine);
}

Test(kvm_leak, nothing_is_left_in_a_machine_that_was_recycled)
{
	leave_secrets(THAW_BACKEND_KVM);
}

Test(kvm_leak, nothing_is_left_in_a_machine_that_was_put_back_as_a_whole)
{
	leave_secrets(THAW_BACKEND_KVM_GENERIC);
}

/* A `next` by another number would end an invocation without restoring the processor. */
Test(kvm_leak, only_next_itself_ends_an_invocation)
{
	static const uint64_t numbers[] = {0x100000001, 0x8000000000000001, 0xffffffff00000001};
	struct thaw_engine *engine = with_guest(THAW_BACKEND_KVM, "guest-secret", MEMORY, 3);
	struct with_answer *answer = malloc(sizeof(*answer));
	uint64_t seed = plain_seed("numbers");

	for (unsigned i = 0; i < 3; i++) {
		struct thaw_instance *instance = with_instance(engine);
		struct secret_order order = new_order(engine, &seed);

		order.number = numbers[i];
		run_order(instance, &order, 16, answer);
		cr_expect_eq(answer->outcome.kind, THAW_OUTCOME_violation, "%s",
			     thaw_outcome_name(answer->outcome.kind));
		if (thaw_instance_recycle(instance))
			expect_nothing(with_kvm_instance(instance), &order, "a strange number");
		thaw_instance_destroy(instance);
	}
	free(answer);
	thaw_engine_close(engine);
}
