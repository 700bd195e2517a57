/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes images for other programs to read, and prints what the C reader makes of them.
 *
 *   image-tool dump FILE                   prints the image as text, or "refused"
 *   image-tool batch SEED COUNT DIRECTORY  makes COUNT images and four damaged ones of each, all as
 *                                          N.thaw with its text in N.txt
 *   image-tool golden DIRECTORY            makes the golden files; only for a new golden image,
 *                                          never to "repair" one
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "snapshot-format/base/cleanup.h"

/* All or nothing: text printed before a refusal is not part of the answer. */
static void tell(int fd, FILE *out)
{
	struct thaw_error error = THAW_ERROR_INIT;
	char *text = NULL;
	size_t length = 0;
	FILE *memory = open_memstream(&text, &length);
	int result = fixture_dump(fd, memory, &error);

	fclose(memory);
	fputs(result < 0 ? "refused\n" : text, out);
	if (result < 0)
		fprintf(stderr, "%s\n", error.message);
	free(text);
}

static void save(const char *directory, const char *name, const struct fixture_bytes *image)
{
	thaw_autofree char *path = NULL;
	thaw_autoclose int fd = fixture_file(image->bytes, image->length);
	FILE *file;

	thaw_assert(asprintf(&path, "%s/%s.thaw", directory, name) > 0);
	file = fopen(path, "we");
	thaw_assert(file && fwrite(image->bytes, 1, image->length, file) == image->length &&
		    fclose(file) == 0);
	free(thaw_take(path));
	thaw_assert(asprintf(&path, "%s/%s.txt", directory, name) > 0);
	file = fopen(path, "we");
	thaw_assert(file);
	tell(fd, file);
	thaw_assert(fclose(file) == 0);
}

static void save_damaged(const char *directory, unsigned number, unsigned variant,
			 const struct fixture_bytes *whole, struct fixture_random *random)
{
	struct fixture_bytes image = {.bytes = malloc(whole->length), .length = whole->length};
	char name[32];

	thaw_assert(image.bytes);
	memcpy(image.bytes, whole->bytes, whole->length);
	fixture_mutate(image.bytes, &image.length, random);
	snprintf(name, sizeof(name), "%u-damaged-%u", number, variant);
	save(directory, name, &image);
	free(image.bytes);
}

static int batch(uint64_t seed, unsigned count, const char *directory)
{
	for (unsigned i = 0; i < count; i++) {
		struct fixture_random random = {seed + i};
		struct fixture fixture;
		struct fixture_bytes image;
		char name[32];

		fixture_make_random(&fixture, fixture_next(&random));
		image = fixture_write(&fixture, 1);
		snprintf(name, sizeof(name), "%u", i);
		save(directory, name, &image);
		for (unsigned n = 0; n < 4; n++)
			save_damaged(directory, i, n, &image, &random);
		free(image.bytes);
		fixture_free(&fixture);
	}
	return 0;
}

static int golden(const char *directory)
{
	for (size_t i = 0; fixture_golden_names[i]; i++) {
		struct fixture fixture;
		struct fixture_bytes image;

		thaw_assert(fixture_make_golden(&fixture, fixture_golden_names[i]));
		image = fixture_write(&fixture, 1);
		save(directory, fixture_golden_names[i], &image);
		free(image.bytes);
		fixture_free(&fixture);
	}
	return 0;
}

static int dump(const char *path)
{
	thaw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		perror(path);
		return 1;
	}
	tell(fd, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "dump") == 0)
		return dump(argv[2]);
	if (argc == 3 && strcmp(argv[1], "golden") == 0)
		return golden(argv[2]);
	if (argc == 5 && strcmp(argv[1], "batch") == 0)
		return batch(strtoull(argv[2], NULL, 0), (unsigned)strtoul(argv[3], NULL, 0),
			     argv[4]);
	fprintf(stderr,
		"usage: image-tool dump FILE | batch SEED COUNT DIRECTORY | golden DIRECTORY\n");
	return 2;
}
