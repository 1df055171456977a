import { Entity, PrimaryColumn } from 'typeorm';
import { LongTextColumn, TextColumn, TimeColumn } from '../store/columns';
import type { SigningScheme } from './webhook';

/** One live secret of a webhook. Several sign together while receivers change from one to the next. */
@Entity('webhook_secrets')
export class WebhookSecret {
  @PrimaryColumn({ type: 'varchar' })
  id!: string;

  @TextColumn('webhook_id')
  webhookId!: string;

  @TextColumn('scheme')
  scheme!: SigningScheme;

  /** Encrypted; see `seal.ts`. V1: the key's bytes; V1A: the private key's 32 bytes. */
  @LongTextColumn('sealed')
  sealed!: string;

  @TimeColumn('created_at')
  createdAt!: Date;

  /** When it stops signing; null: it is the current one. */
  @TimeColumn('expires_at', { nullable: true })
  expiresAt!: Date | null;
}
