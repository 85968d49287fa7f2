/* The terminal: what it can do, its keys, the signals that end a command. */
#ifndef BINDERY_CTL_TERMINAL_H
#define BINDERY_CTL_TERMINAL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct screen {
	bool terminal;        /* standard output is one that obeys */
	bool colours;
	size_t width, height; /* 0: without end */
};

/* Of standard output, as it is now. */
struct screen screen_now(void);

enum tone { TONE_PLAIN, TONE_HEAD, TONE_GOOD, TONE_BAD, TONE_DIM };
/* What to print before and after text of this tone; "" without colours. */
const char *tone_on(const struct screen *screen, enum tone tone);
const char *tone_off(const struct screen *screen, enum tone tone);

/*
 * From here on SIGINT, SIGTERM and SIGHUP only make interrupted() true, and a
 * wait with interrupts_mask() is where they and SIGWINCH arrive.
 */
void interrupts_catch(void);
/* The signal that came, or 0. */
int interrupted(void);
/* NULL unless they are caught. */
const sigset_t *interrupts_mask(void);
/* Ends as the signal that came would have ended the program, if one came. */
void interrupts_obey(void);

/* No echo on `fd`, nor lines if `keys`. False if it is no terminal. */
bool keyboard_hush(int fd, bool keys, struct termios *before);
void keyboard_restore(int fd, const struct termios *before);
/* True if a read would not wait; also at the end of a file. */
bool fd_is_readable(int fd);

#endif
