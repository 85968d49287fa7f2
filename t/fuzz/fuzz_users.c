/* User directories: users.json, or users.jsonl when the first byte is odd. */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "bindery/directory.h"

#include "fuzz.h"

const char *const fuzz_seeds[] = { "fuzz/seeds/users", NULL };

static char folder[] = "/tmp/bindery-fuzz-XXXXXX";
static char paths[2][64];

static void
remove_files(void)
{
	for (int i = 0; i < 2; i++)
		unlink(paths[i]);
	rmdir(folder);
}

static void
make_folder(void)
{
	fuzz_must(mkdtemp(folder) != NULL);
	snprintf(paths[0], sizeof paths[0], "%s/users.json", folder);
	snprintf(paths[1], sizeof paths[1], "%s/users.jsonl", folder);
	atexit(remove_files);
}

static struct directory_domain
domain_of(void *context, struct str name)
{
	(void)context;
	return str_eq(name, STR("example.com")) || str_eq(name, STR("alias"))
	    ? (struct directory_domain){ STR("example.com"), STR("realm") }
	    : (struct directory_domain){ STR_NONE, STR_NONE };
}

static void
check(const struct directory *directory)
{
	for (size_t i = 0; i < directory_size(directory); i++) {
		const struct user *user = directory_at(directory, i);

		fuzz_must(user->has_ha1 != 0 && user->username.n > 0);
		fuzz_must(directory_find(directory, user->username, user->domain) ==
		    user);
		fuzz_must(directory_find_aor(directory, user->aor) == user);
		fuzz_must(user_owns(user, user->aor));
		for (size_t j = 0; j < user->alias_count; j++)
			fuzz_must(directory_find_aor(directory, user->aliases[j]) ==
			    user);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct faults faults = { 0 };
	struct directory *directory;
	const char *path;
	FILE *file;

	if (n == 0)
		return 0;
	if (paths[0][0] == '\0')
		make_folder();
	path = paths[bytes[0] & 1];
	file = fopen(path, "w");
	fuzz_must(file != NULL);
	fwrite(bytes + 1, 1, n - 1, file);
	fclose(file);
	directory = directory_read_json(path, domain_of, NULL, &faults);
	fuzz_must((directory == NULL) == (faults.count > 0));
	if (directory != NULL)
		check(directory);
	directory_unref(directory);
	free(faults_text(&faults));
	faults_free(&faults);
	return 0;
}
