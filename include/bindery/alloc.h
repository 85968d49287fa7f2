/*
 * Memory that is there, or the process ends: every size that an outsider can
 * grow is bounded before it gets here, so running out is an operator's limit
 * that was set too low, not a case to carry through each caller.
 */
#ifndef BINDERY_ALLOC_H
#define BINDERY_ALLOC_H

#include <stddef.h>

/*
 * Before there are threads: what is large comes from the kernel and goes back
 * to it at once. Left alone, malloc() learns to hold on to what a storm took.
 */
void alloc_init(void);
/* Like their namesakes without the x, but never NULL. The caller frees. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
/* A copy of `size` bytes with a NUL behind them. */
char *xmemdupz(const void *bytes, size_t size);
/* A formatted string; the caller frees it. */
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
