/* SPDX-License-Identifier: Apache-2.0 */
/* Replays a fuzz target: each file of the corpus directory, and mutations of it from a fixed
 * seed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 65536u
#define ROUNDS	  50000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mutate(uint8_t *data, size_t *size)
{
	static const uint8_t edges[] = {0, 1, 2, 3, 4, 16, 0x7f, 0x80, 0xff};

	switch (rand() % 4) {
	case 0:
		*size = (size_t)rand() % (*size + 1);
		break;
	case 1:
		*size += (size_t)rand() % 8;
		break;
	default:
		if (*size)
			data[(size_t)rand() % *size] =
				rand() % 2 ? edges[(size_t)rand() % sizeof(edges)]
					   : (uint8_t)rand();
	}
}

/* An exact allocation for each call, so that a sanitizer sees a read past the end. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	if (!exact)
		abort();
	memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static void replay(const char *path)
{
	static uint8_t original[INPUT_MAX], data[INPUT_MAX + 64];
	FILE *file = fopen(path, "rb");
	size_t length;

	if (!file) {
		perror(path);
		exit(1);
	}
	length = fread(original, 1, sizeof(original), file);
	fclose(file);
	run(original, length);
	for (unsigned i = 0; i < ROUNDS; i++) {
		size_t size = length;

		memset(data, 0, sizeof(data));
		memcpy(data, original, length);
		for (int steps = rand() % 4; steps >= 0; steps--)
			mutate(data, &size);
		run(data, size);
	}
}

int main(int argc, char **argv)
{
	DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	char path[4096];
	unsigned files = 0;

	if (!directory) {
		fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
		return 2;
	}
	srand(1);
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
		replay(path);
		files++;
	}
	closedir(directory);
	printf("%u files, %u mutations of each\n", files, ROUNDS);
	return files ? 0 : 1;
}
