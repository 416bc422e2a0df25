import type { UseMutationResult } from "@tanstack/react-query";
import { Clash, isClash, type Versioned } from "@/components/Clash";
import { ProblemNote } from "@/components/ProblemNote";

interface Holder extends Versioned {
  id: string;
  name: string;
  role: string;
}

interface RoleClashProps<Row extends Holder> {
  /** Gives a member of the list below another role. */
  give: UseMutationResult<Row, Error, { member: Row; role: Row["role"] }>;
  read: (member: string) => Promise<Row>;
}

/** Why a role was not given, above a list of members: by whoever else gave that member one, or by another refusal. */
export function RoleClash<Row extends Holder>({ give, read }: RoleClashProps<Row>) {
  if (!isClash(give.error)) return <ProblemNote error={give.error} />;
  if (!give.variables) return null;
  const { member, role } = give.variables;
  return (
    <Clash
      title={`Somebody else changed the role of ${member.name} meanwhile`}
      error={give.error}
      began={member}
      fields={["role"]}
      busy={give.isPending}
      read={() => read(member.id)}
      onKeep={(now) => give.mutate({ member: now, role })}
      onDiscard={() => give.reset()}
    />
  );
}
