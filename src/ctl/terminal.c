/* What is asked of the operating system about terminals and signals. */
#include "config.h"

#include "terminal.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- the screen ---- */

struct screen
screen_now(void)
{
	const char *kind = getenv("TERM");
	struct screen screen = { 0 };
	struct winsize size;

	screen.terminal = isatty(STDOUT_FILENO) && kind != NULL &&
	    *kind != '\0' && strcmp(kind, "dumb") != 0;
	screen.colours = screen.terminal && getenv("NO_COLOR") == NULL;
	if (isatty(STDOUT_FILENO) &&
	    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
		screen.width = size.ws_col;
		screen.height = size.ws_row;
	}
	return screen;
}

const char *
tone_on(const struct screen *screen, enum tone tone)
{
	static const char *const codes[] = { [TONE_PLAIN] = "",
		[TONE_HEAD] = "\033[1m", [TONE_GOOD] = "\033[32m",
		[TONE_BAD] = "\033[31m", [TONE_DIM] = "\033[2m" };

	return screen->colours ? codes[tone] : "";
}

const char *
tone_off(const struct screen *screen, enum tone tone)
{
	return screen->colours && tone != TONE_PLAIN ? "\033[0m" : "";
}

/* ---- signals ---- */

static const int endings[] = { SIGINT, SIGTERM, SIGHUP };
enum { ENDINGS = sizeof endings / sizeof *endings };

/* A signal handler has no other place to leave its news. */
static volatile sig_atomic_t came;
static sigset_t outside; /* the mask before */
static bool caught;

static void
on_signal(int number)
{
	if (number != SIGWINCH)
		came = number;
}

void
interrupts_catch(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t ours;

	sigemptyset(&action.sa_mask);
	sigemptyset(&ours);
	for (int i = 0; i < ENDINGS; i++) {
		sigaddset(&ours, endings[i]);
		sigaction(endings[i], &action, NULL);
	}
	sigaddset(&ours, SIGWINCH);
	sigaction(SIGWINCH, &action, NULL);
	sigprocmask(SIG_BLOCK, &ours, &outside);
	for (int i = 0; i < ENDINGS; i++)
		sigdelset(&outside, endings[i]);
	sigdelset(&outside, SIGWINCH);
	caught = true;
}

int
interrupted(void)
{
	return came;
}

const sigset_t *
interrupts_mask(void)
{
	return caught ? &outside : NULL;
}

void
interrupts_obey(void)
{
	if (came == 0)
		return;
	signal(came, SIG_DFL);
	sigprocmask(SIG_SETMASK, &outside, NULL);
	raise(came);
}

/* ---- the keyboard ---- */

bool
keyboard_hush(int fd, bool keys, struct termios *before)
{
	struct termios quiet;

	if (tcgetattr(fd, before) != 0)
		return false;
	quiet = *before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	if (keys)
		quiet.c_lflag &= ~(tcflag_t)ICANON;
	/* a stopped program would leave the shell a silent terminal */
	quiet.c_cc[VSUSP] = _POSIX_VDISABLE;
	return tcsetattr(fd, TCSAFLUSH, &quiet) == 0;
}

void
keyboard_restore(int fd, const struct termios *before)
{
	tcsetattr(fd, TCSAFLUSH, before);
}

bool
fd_is_readable(int fd)
{
	struct pollfd polled = { fd, POLLIN, 0 };

	return poll(&polled, 1, 0) > 0;
}
