/*
 * Runs a fuzz target over files: those named as arguments, or else its seeds
 * below top_srcdir. Each file is a TAP test, which passes if nothing crashes.
 */
#include "config.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "bindery/alloc.h"

#include "fuzz.h"

enum { SIZE_MAX_READ = 1 << 20, FILES_MAX = 1000 };

static char *files[FILES_MAX];
static size_t count;

static void
add_file(const char *folder, const char *name)
{
	char *path = folder != NULL ? xasprintf("%s/%s", folder, name)
	                            : xstrdup(name);
	struct stat about;

	if (count < FILES_MAX && stat(path, &about) == 0 &&
	    S_ISREG(about.st_mode))
		files[count++] = path;
	else
		free(path);
}

static void
add_folder(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.')
			add_file(path, entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

static void
add_seeds(void)
{
	const char *top = getenv("top_srcdir");

	for (const char *const *folder = fuzz_seeds; *folder != NULL; folder++) {
		char *path = xasprintf("%s/t/%s", top != NULL ? top : ".", *folder);

		add_folder(path);
		free(path);
	}
}

/* Memory of just its size, so that a sanitizer sees each look beyond it. */
static uint8_t *
read_bytes(const char *path, size_t *n)
{
	uint8_t *bytes = malloc(SIZE_MAX_READ);
	FILE *file = fopen(path, "rb");

	*n = 0;
	if (file != NULL) {
		*n = fread(bytes, 1, SIZE_MAX_READ, file);
		fclose(file);
	}
	return realloc(bytes, *n > 0 ? *n : 1);
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		add_file(NULL, argv[i]);
	if (argc == 1)
		add_seeds();
	printf("1..%zu\n", count + 1);
	printf("%s 1 - there are files to replay\n", count > 0 ? "ok" : "not ok");
	for (size_t i = 0; i < count; i++) {
		const char *name = strrchr(files[i], '/');
		size_t n;
		uint8_t *bytes = read_bytes(files[i], &n);

		fflush(stdout); /* should it crash */
		LLVMFuzzerTestOneInput(bytes, n);
		printf("ok %zu - %s\n", i + 2, name != NULL ? name + 1 : files[i]);
		free(bytes);
		free(files[i]);
	}
	return count > 0 ? 0 : 1;
}
