/* The configuration: read, checked, printed and freed. */
#include "config.h"

#include <unistd.h>

#include "daemon/conf.h"

#include "fuzz.h"

const char *const fuzz_seeds[] = { "fuzz/seeds/config", NULL };

static char path[] = "/tmp/bindery-fuzz-XXXXXX";
static int fd = -1;

static void
remove_file(void)
{
	unlink(path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static struct conf conf;
	struct faults faults = { 0 };
	bool good;

	if (fd < 0) {
		fd = mkstemp(path);
		atexit(remove_file);
	}
	fuzz_must(fd >= 0 && ftruncate(fd, 0) == 0);
	fuzz_must(pwrite(fd, bytes, n, 0) == (ssize_t)n);
	good = conf_read(&conf, path, &faults);
	fuzz_must(good == (faults.count == 0));
	if (good)
		free(settings_print(&conf_settings, &conf));
	free(faults_text(&faults));
	faults_free(&faults);
	conf_free(&conf);
	return 0;
}
