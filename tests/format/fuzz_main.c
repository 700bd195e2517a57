/* SPDX-License-Identifier: Apache-2.0 */
/* The fuzz target as an ordinary test: every image of the corpus as it is, then damaged in ways
 * that seeds decide, and sometimes two of them spliced. A failure names the seed that repeats it:
 * fuzz-image-test CORPUS SEED 1. */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"
#include "snapshot-format/base/error.h"

#define CORPUS_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fixture_bytes corpus[CORPUS_MAX];
static size_t corpus_count;

static void read_corpus(const char *directory)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		size_t length = strlen(entries[i]->d_name);
		char path[4096];
		FILE *file;

		if (length > 5 && strcmp(entries[i]->d_name + length - 5, ".thaw") == 0) {
			struct fixture_bytes *entry = &corpus[corpus_count++];

			thaw_assert(corpus_count <= CORPUS_MAX);
			snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
			file = fopen(path, "rbe");
			thaw_assert(file);
			entry->bytes = malloc(1u << 20);
			thaw_assert(entry->bytes);
			entry->length = fread(entry->bytes, 1, 1u << 20, file);
			fclose(file);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

static uint64_t current_seed;

/* A failed assertion aborts, and so do the sanitizers on request: this handler prints the
 * seed. */
static void name_seed(int signal_number)
{
	(void)signal_number;
	dprintf(STDERR_FILENO, "at seed %" PRIu64 "\n", current_seed);
}

static void run_seed(uint64_t seed)
{
	struct fixture_random random = {seed};
	const struct fixture_bytes *from = &corpus[fixture_below(&random, corpus_count)];
	struct fixture_bytes input = {.bytes = malloc(from->length + 1), .length = from->length};

	current_seed = seed;
	thaw_assert(input.bytes);
	memcpy(input.bytes, from->bytes, from->length);
	if (fixture_below(&random, 8) == 0) {
		const struct fixture_bytes *other = &corpus[fixture_below(&random, corpus_count)];
		size_t shared = other->length < input.length ? other->length : input.length;
		size_t at = fixture_below(&random, shared);

		memcpy(input.bytes + at, other->bytes + at, shared - at);
	}
	fixture_mutate(input.bytes, &input.length, &random);
	LLVMFuzzerTestOneInput(input.bytes, input.length);
	free(input.bytes);
}

int main(int argc, char **argv)
{
	uint64_t seed, count;

	if (argc != 4) {
		fprintf(stderr, "usage: %s CORPUS-DIRECTORY SEED COUNT\n", argv[0]);
		return 2;
	}
	read_corpus(argv[1]);
	seed = strtoull(argv[2], NULL, 0);
	count = strtoull(argv[3], NULL, 0);
	if (corpus_count == 0) {
		fprintf(stderr, "no images in %s\n", argv[1]);
		return 2;
	}
	for (size_t i = 0; i < corpus_count; i++)
		LLVMFuzzerTestOneInput(corpus[i].bytes, corpus[i].length);
	signal(SIGABRT, name_seed);
	for (uint64_t i = 0; i < count; i++)
		run_seed(seed + i);
	for (size_t i = 0; i < corpus_count; i++)
		free(corpus[i].bytes);
	printf("%zu images, %" PRIu64 " mutations\n", corpus_count, count);
	return 0;
}
