import { type FormHTMLAttributes, useEffect, useRef } from "react";
import type { Faults } from "@/components/faults";

interface FormProps extends Omit<FormHTMLAttributes<HTMLFormElement>, "onSubmit"> {
  faults: Faults;
  busy: boolean;
  onSubmit: () => void;
}

const FAULTY = "[aria-invalid=true], [data-error=true]";

/** A form that goes to its first faulty field when it was refused. Ctrl-Enter sends it, too. */
export function Form({ faults, busy, onSubmit, children, ...rest }: FormProps) {
  const form = useRef<HTMLFormElement>(null);
  const { refusal } = faults;
  useEffect(() => {
    if (!refusal) return;
    const field = form.current?.querySelector<HTMLElement>(FAULTY);
    field?.scrollIntoView({ block: "center" });
    // What opens a list when it has the focus would hide what is told below it.
    if (field?.matches("input:not([aria-haspopup]), textarea")) field.focus({ preventScroll: true });
  }, [refusal]);
  const send = () => {
    if (!busy) onSubmit();
  };
  return (
    <form
      ref={form}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
      onKeyDown={(event) => {
        if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
        event.preventDefault();
        send();
      }}
      {...rest}
    >
      {children}
    </form>
  );
}
