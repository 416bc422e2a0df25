import { notifications } from "@mantine/notifications";

/** Something went well and needs no decision. */
export function tell(message: string): void {
  notifications.show({ message, autoClose: 3_000, withBorder: true });
}
