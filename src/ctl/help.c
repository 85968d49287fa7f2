/* Help, written from the tables. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"

static void
print_options(unsigned which)
{
	printf("\nOptions:\n");
	for (int i = 0; i < OPTIONS; i++) {
		const struct option *o = &options[i];
		char letter[] = { '-', o->letter, ',', '\0' };
		int pad = 14 - (int)strlen(o->name);

		if ((which >> i & 1) != 0)
			printf("  %s --%s %-*s%s\n", letter, o->name, pad,
			    o->value != NULL ? o->value : "", o->help);
	}
}

static int
print_all(void)
{
	printf("Usage: binderyctl [-s PATH] [--json] COMMAND [ARGUMENT...]\n"
	    "Asks a running binderyd over its control socket.\n\nCommands:\n");
	for (const struct command *c = commands; c->name != NULL; c++) {
		int pad = 28 - (int)strlen(c->name);

		printf("  %s %-*s%s\n", c->name, pad, c->args, c->help);
	}
	print_options(OPTIONS_ANY);
	printf("\nBINDERY_SOCKET in the environment names another socket.\n"
	    "binderyctl(8) tells more.\n");
	return DONE;
}

int
cmd_help(struct ctl *ctl)
{
	const char *near;
	const struct command *c;

	if (ctl->arg_count == 0)
		return print_all();
	c = command_find(ctl->args[0]);
	if (c != NULL) {
		printf("Usage: binderyctl [OPTION...] %s%s%s\n%c%s.\n", c->name,
		    *c->args != '\0' ? " " : "", c->args,
		    c->help[0] & ~0x20, c->help + 1);
		print_options(c->options | OPTIONS_ANY);
		return DONE;
	}
	near = command_nearest(ctl->args[0]);
	if (near == NULL)
		return misused("there is no command %s", ctl->args[0]);
	return misused("there is no command %s; did you mean %s?",
	    ctl->args[0], near);
}
