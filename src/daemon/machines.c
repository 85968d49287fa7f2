/* binderyd --print-machines: the transaction machines as Graphviz. */
#include "config.h"

#include "daemon.h"

#include <stdio.h>

static void
print_label(const struct tx_step *step)
{
	static const struct {
		unsigned bit;
		const char *text;
	} effects[] = { { TX_DO_SEND, "send" }, { TX_DO_ACK, "ACK" },
		{ TX_DO_TELL, "tell" } };
	const char *separator = "\\n";
	char letter = step->on == TX_ON_RESEND
	    ? tx_resend_timer(step->machine, step->in, false)
	    : step->on == TX_ON_EXPIRE ? tx_expire_timer(step->machine, step->in)
	                               : 0;

	if (letter != 0)
		printf("timer %c", letter);
	else
		printf("%s", tx_event_name(step->on));
	for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
		if ((step->todo & effects[i].bit) != 0) {
			printf("%s%s", separator, effects[i].text);
			separator = ", ";
		}
}

void
print_machines(void)
{
	size_t count;
	const struct tx_step *steps = tx_steps(&count);

	puts("digraph transactions {\n\tnode [shape=box];");
	for (int machine = 0; machine < TX_MACHINES; machine++) {
		printf("\tsubgraph cluster_%d {\n\t\tlabel=\"%s\";\n", machine,
		    tx_machine_name((enum tx_machine)machine));
		printf("\t\tm%d_start [shape=point]; m%d_start -> m%d_%s;\n", machine,
		    machine, machine,
		    tx_state_name(tx_initial((enum tx_machine)machine)));
		for (size_t i = 0; i < count; i++) {
			const struct tx_step *s = &steps[i];

			if ((int)s->machine != machine)
				continue;
			printf("\t\tm%d_%s [label=\"%s\"]; m%d_%s [label=\"%s\"];\n",
			    machine, tx_state_name(s->in), tx_state_name(s->in), machine,
			    tx_state_name(s->next), tx_state_name(s->next));
			printf("\t\tm%d_%s -> m%d_%s [label=\"", machine,
			    tx_state_name(s->in), machine, tx_state_name(s->next));
			print_label(s);
			puts("\"];");
		}
		puts("\t}");
	}
	puts("}");
}
