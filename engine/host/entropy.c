/* SPDX-License-Identifier: Apache-2.0 */
/* Entropy for requests; see entropy.h. */
#include "engine/host/entropy.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define PAGE 4096u

struct thaw_entropy_page {
	size_t left; /* after a fork 0, like the whole page */
	uint8_t bytes[PAGE - sizeof(size_t)];
};

int thaw_entropy_init(struct thaw_entropy *entropy, struct thaw_error *err)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "no memory for entropy");
	if (madvise(page, PAGE, MADV_WIPEONFORK)) {
		munmap(page, PAGE);
		return thaw_fail_errno(err, THAW_ERR_ENGINE, errno, "MADV_WIPEONFORK");
	}
	pthread_mutex_init(&entropy->lock, NULL);
	entropy->page = page;
	return 0;
}

void thaw_entropy_finish(struct thaw_entropy *entropy)
{
	if (!entropy->page)
		return;
	explicit_bzero(entropy->page, PAGE);
	munmap(entropy->page, PAGE);
	pthread_mutex_destroy(&entropy->lock);
	entropy->page = NULL;
}

static void refill(struct thaw_entropy_page *page)
{
	size_t done = 0;

	while (done < sizeof(page->bytes)) {
		ssize_t got = getrandom(page->bytes + done, sizeof(page->bytes) - done, 0);

		thaw_assert(got > 0 || errno == EINTR);
		done += got > 0 ? (size_t)got : 0;
	}
	page->left = sizeof(page->bytes);
}

void thaw_entropy_take(struct thaw_entropy *entropy, void *bytes, size_t length)
{
	struct thaw_entropy_page *page = entropy->page;

	thaw_assert(length <= sizeof(page->bytes));
	pthread_mutex_lock(&entropy->lock);
	if (page->left < length)
		refill(page);
	page->left -= length;
	memcpy(bytes, page->bytes + page->left, length);
	explicit_bzero(page->bytes + page->left, length);
	pthread_mutex_unlock(&entropy->lock);
}
