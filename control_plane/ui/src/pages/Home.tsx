import { Page } from "@/components/Page";
import { Start } from "@/pages/home/Start";

export function Home() {
  return (
    <Page title="Home" lead="From nothing to the first call, and what needs attention.">
      <Start />
    </Page>
  );
}
